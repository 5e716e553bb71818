// How long to wait before a server that has crashed is started again.

/** The longest pause, in seconds. */
const LONGEST = 60;

/** A server that lived for so many seconds was well, and what it dies of is something new. */
const WELL = 120;

/** So many crashes in a row, some four minutes of trying, and nobody is helped by another one. */
const ENOUGH = 9;

/** Counts the crashes of a server that follow each other closely. */
export class Pauses {
  private crashes = 0;

  /** Notes a crash after so many seconds of life. Gives the pause before the next start, or null to give up. */
  next(lived: number): number | null {
    if (lived >= WELL) {
      this.crashes = 0;
    }
    this.crashes += 1;
    return this.crashes >= ENOUGH ? null : Math.min(2 ** (this.crashes - 1), LONGEST);
  }

  /** Forgets all crashes: the user wants it tried again. */
  reset(): void {
    this.crashes = 0;
  }
}
