export function first<T>(items: T[], test: (item: T) => boolean): T | undefined {
  for (const item of items) {
    if (‸) {
      return item;
    }
  }
  return undefined;
}
