import { readFile } from "node:fs/promises";
// <- import
// <- statement
const path = require("path");
// <- import
// <- statement
export { parse } from "./parse.js";
// <- import

const LIMIT = 10;
// <- symbol
//    ^^^^^ name
// <- !import

export class Queue extends Base {
// <- statement ... }
//     ^ symbol ... }
//           ^^^^^ name
//                              ^ block ... }
  #items = [];
// ^ !statement
  // <- statement
  // <- symbol

  static {
  // <- statement ... }
    Queue.count = 0;
    // <- statement
  }

  async push(item) {
  // <- symbol ... }
  // <- statement ... }
  //    ^^^^ name
  //               ^ block ... }
    for (let i = 0; i < LIMIT; i++) {
    // <- statement ... }
    //   ^ !statement
    //                              ^ block ... }
      let next = this.#items[i] ?? null;
      // <- statement
      if (next === null) break;
      // <- statement
      //                 ^ statement
    }
    return new Promise((resolve) => {
    // <- statement ... });
    //                              ^ block ... }
      setTimeout(() => resolve(item), 100);
      // <- statement
    });
  }
}

function describe(value) {
// <- statement ... }
//       ^^^^^^^^ name
//                       ^ block
  switch (typeof value) {
  // <- statement ... }
  //                    ^ block ... }
    case "string":
    // <- statement ... return `"${value}"`;
      return `"${value}"`;
      // <- statement
    default:
      const text = String(value);
      // <- statement
      return text;
  }
}

for (const name of ["a", "b"]) console.log(describe(name));
// <- statement
//                             ^ statement
const view = () => <Item key={1}>{describe(2)}</Item>;
// <- statement
//    ^^^^ name
