import type { Shape } from "./shape";
// <- import
import fs = require("fs");
// <- import
export * from "./other";
// <- import

export interface Point extends Shape {
// <- statement ... }
//     ^ symbol ... }
//               ^^^^^ name
//                                   ^ block ... }
  readonly x: number;
  // <- statement
  // <- symbol
  //       ^ name
  scale(by: number): Point;
  // <- statement
  //^^^ !name
}

type Pair<T> = {
// <- statement ... };
//   ^^^^ name
//             ^ block ... }
  left: T;
  // <- statement
  right: T;
};

enum Colour {
// <- symbol ... }
//          ^ block ... }
  Red = "red",
  // <- statement
  Blue = "blue",
}

abstract class Store<K, V> implements Iterable<V> {
// <- statement ... }
//             ^^^^^ name
//                                                ^ block ... }
  private readonly entries = new Map<K, V>();
  // <- statement
  //               ^^^^^^^ name

  constructor(protected readonly limit = 10) {}
  // <- statement
  //                                         ^^ block

  abstract load(key: K): Promise<V>;
  // <- statement
  //       ^^^^ name

  async get(key: K): Promise<V> {
  // <- symbol ... }
  //    ^^^ name
    const known = this.entries.get(key);
    // <- statement
    if (known !== undefined) {
    // <- statement ... }
    //                       ^ block ... }
      return known;
      // <- statement
    }
    for (let i = 0; i < this.limit; i++) {
    // <- statement
    //   ^ !statement
      await this.load(key);
    }
    return (await this.load(key)) satisfies V;
  }
}

declare function log(message: string): void;
// <- statement
//      ^ symbol
//               ^^^ name

export namespace Tools {
// <- statement ... }
//               ^^^^^ name
//                     ^ block ... }
  export const ratio = <number>0.5;
  // <- statement
  //           ^^^^^ name
}
