// Exact difference of two values, of which either may be a BigInt.
export function difference(now, before) {
  if (typeof now === "bigint" || typeof before === "bigint") {
    if (typeof now === "number" && !Number.isInteger(now)) return now - Number(before);
    if (typeof before === "number" && !Number.isInteger(before)) return Number(now) - before;
    return Number(BigInt(now) - BigInt(before));
  }
  return now - before;
}
