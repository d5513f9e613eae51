// What a group of usage is called. Knows no numbers.

/** Return what a group is called: a label where it has one, else its name; unknown is a dash. */
export function groupName(group, by) {
  const name = by === "key" ? (group.key_label ?? group.key) : group[by];
  if (name === null || name === undefined) {
    return null;
  }
  return by === "day" || by === "hour" ? timeName(name) : by === "status" ? name.replaceAll("_", " ") : String(name);
}

/** Return what calls each of `groups` by a name of its own: keys that share a label have their ids beside it. */
export function namerOf(groups, by) {
  const keys = new Map();
  for (const { group } of by === "key" ? groups : []) {
    keys.set(group.key_label, (keys.get(group.key_label) ?? new Set()).add(group.key));
  }
  const isShared = (label) => label !== null && label !== undefined && (keys.get(label)?.size ?? 0) > 1;
  return (group) => (isShared(group.key_label) ? `${group.key_label} (${group.key})` : groupName(group, by));
}

/** Days and hours come as µs since the epoch or as text, in UTC. */
export function timeName(value) {
  return typeof value === "number" ? new Date(value / 1000).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "") : String(value);
}
