// A ledger: entries with a date and an amount, and sums over them.
import { readFile } from "node:fs/promises";

export interface Entry {
  day: string;
  amount: number;
  note?: string;
}

type Sums = Map<string, number>;

export class Ledger {
  private readonly entries: Entry[] = [];

  static async read(path: string): Promise<Ledger> {
    const ledger = new Ledger();
    const text = await readFile(path, "utf8");
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      if (line.trim() === "") continue;
      const [day, amount, ...note] = line.split(",");
      const value = Number(amount);
      if (Number.isNaN(value)) {
        throw new Error(`${path}:${index + 1}: "${amount}" is no amount`);
      }
      ledger.add({ day, amount: value, note: note.join(",") || undefined });
    }
    return ledger;
  }

  add(entry: Entry): this {
    this.entries.push(entry);
    return this;
  }

  total(month?: string): number {
    return this.entries
      .filter((entry) => month === undefined || entry.day.startsWith(month))
      .reduce((sum, entry) => sum + entry.amount, 0);
  }

  byMonth(): Sums {
    const sums: Sums = new Map();
    for (const { day, amount } of this.entries) {
      const month = day.slice(0, 7);
      sums.set(month, (sums.get(month) ?? 0) + amount);
    }
    return sums;
  }
}

export function report(ledger: Ledger, width = 40): string[] {
  const rows: string[] = [];
  ledger.byMonth().forEach((amount, month) => {
    const bar = "#".repeat(Math.min(width, Math.abs(amount) / 100));
    rows.push(`${month}  ${amount.toFixed(2).padStart(10)}  ${bar}`);
  });
  return rows.sort();
}
