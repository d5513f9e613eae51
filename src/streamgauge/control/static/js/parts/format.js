// Writes numbers as people read them. Unknown is null, and stays null: what to show for it is decided elsewhere.

export const DASH = "–";

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const NANO = 1_000_000_000n;

function known(write) {
  return (value, ...more) => (value === null || value === undefined ? null : write(value, ...more));
}

/** A whole number with thousands apart. */
export const count = known((value) => GROUPED.format(value));

/** A whole number of things, the word in its singular where there is one: 1 stream, 2 streams. */
export const counted = known((value, thing) => `${count(value)} ${thing}${value === 1 ? "" : "s"}`);

/** A number in four characters or so: 940, 12.4k, 3.1M. */
export const short = known((value) => {
  const size = Math.abs(value);
  if (size < 10_000) {
    return GROUPED.format(value);
  }
  const [divisor, unit] = size < 999_950 ? [1e3, "k"] : size < 999_950_000 ? [1e6, "M"] : [1e9, "G"];
  const scaled = value / divisor;
  return `${scaled.toFixed(Math.abs(scaled) < 99.95 ? 1 : 0)}${unit}`;
});

/** Milliseconds in a fitting unit, with three digits or so. */
export const duration = known((ms) => {
  const size = Math.abs(ms);
  if (size < 1000) {
    return `${ms.toFixed(size < 10 ? 1 : 0)} ms`;
  }
  if (size < 60_000) {
    return `${(ms / 1000).toFixed(2)} s`;
  }
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours > 0 ? `${hours}h ${pad(minutes)}m` : `${minutes}m ${pad(seconds % 60)}s`;
});

/** Microseconds, as µs below one millisecond. */
export const micros = known((us) => (Math.abs(us) < 1000 ? `${us.toFixed(0)} µs` : duration(us / 1000)));

/** An age in whole units: 4 s, 12 m, 3 h, 5 d. */
export const age = known((ms) => {
  const seconds = Math.max(0, ms / 1000);
  const steps = [[60, 1, "s"], [3600, 60, "m"], [86_400, 3600, "h"], [Infinity, 86_400, "d"]];
  const [, divisor, unit] = steps.find(([bound]) => seconds < bound);
  return `${Math.floor(seconds / divisor)} ${unit}`;
});

export const bytes = known((value) => {
  if (value < 1000) {
    return `${value} B`;
  }
  const [divisor, unit] = value < 1e6 ? [1e3, "kB"] : value < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  return `${(value / divisor).toFixed(1)} ${unit}`;
});

/** Tokens per second. */
export const speed = known((value) => (value < 100 ? value.toFixed(1) : value.toFixed(0)));

export const percent = known((value) => `${value.toFixed(1)} %`);

/** A share of one as a percentage. */
export const share = known((value) => `${(value * 100).toFixed(1)} %`);

/** Nano-units in full, as a decimal number without needless zeros; integers throughout, so nothing is rounded. */
export const nano = known((value) => {
  const whole = BigInt(value);
  const [sign, size] = whole < 0n ? ["-", -whole] : ["", whole];
  const rest = String(size % NANO).padStart(9, "0").replace(/0+$/, "");
  return `${sign}${size / NANO}${rest === "" ? "" : `.${rest}`}`;
});

/** Nano-units shortened for a table: two decimals from 1 on, four digits below. */
export const money = known((value) => {
  const amount = Number(value) / 1e9;
  if (amount === 0) {
    return "0";
  }
  if (Math.abs(amount) >= 1) {
    return amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  }
  const digits = Math.min(9, 3 - Math.floor(Math.log10(Math.abs(amount))));
  return amount.toFixed(digits).replace(/0+$/, "").replace(/\.$/, "");
});

/** Time of day of a time in µs since the epoch, here. */
export const clock = known((us) => {
  const time = new Date(us / 1000);
  return `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
});

export const day = known((us) => {
  const time = new Date(us / 1000);
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
});

/** Date and time, to the millisecond. */
export const moment = known((us) => {
  const rest = Math.floor(us / 1000) % 1000;
  return `${day(us)} ${clock(us)}.${String(rest).padStart(3, "0")}`;
});

/** Time of day, with the date in front when it is not today. */
export const recent = known((us) => (day(us) === day(Date.now() * 1000) ? clock(us) : `${day(us).slice(5)} ${clock(us)}`));

function pad(value) {
  return String(value).padStart(2, "0");
}
