// A cache with a time to live for each entry.

interface Entry<T> {
  value: T;
  expires: number;
}

export class Cache<T> {
  private entries = new Map<string, Entry<T>>();

  constructor(private ttl: number) {}

  get(key: string): T | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) {
      return undefined;
    }
    if (entry.expires < Date.now()) {
      this.entries.delete(key);
      return undefined;
    }
    return entry.value;
  }

  has(key: string): boolean {
    const entry = this.entries.get(key);
    if (entry === undefined) {
      return false;
    }
    return entry.expires >= Date.now();
  }

  set(key: string, value: T): void {
    this.entries.set(key, { value, expires: Date.now() + this.ttl });
  }

  delete(key: string): void {
    this.entries.delete(key);
  }
}
