// The login: shows the token to the server once, which answers with a cookie that no script can read.

const form = document.getElementById("login");
const field = document.getElementById("token");
const said = document.getElementById("said");
const button = form.querySelector("button");

function messageFor(status, after) {
  if (status === 401) {
    return "That is not the token.";
  }
  if (status === 429) {
    return `Too many wrong tokens from here. Try again in ${after ?? "a few"} s.`;
  }
  return `The gateway answered ${status}.`;
}

async function logIn(token) {
  const answer = await fetch("/admin/login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  });
  return answer.ok ? null : messageFor(answer.status, answer.headers.get("retry-after"));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  let message;
  try {
    message = await logIn(field.value);
  } catch {
    message = "The gateway does not answer.";
  }
  button.disabled = false;
  if (message === null) {
    // The same address again: the server now answers it with the page that was asked for.
    location.reload();
    return;
  }
  said.textContent = message;
  field.select();
});

// Until here the browser itself would have sent the form, and the token would stand in the address.
button.disabled = false;
