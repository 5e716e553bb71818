import { useState, type ReactNode } from "react";
// <- import

type Props = { label: string; children?: ReactNode };
// <- statement
//   ^^^^^ name
//           ^ block

export function Counter({ label, children }: Props): ReactNode {
// <- statement ... }
//     ^ symbol ... }
//              ^^^^^^^ name
//                                                             ^ block ... }
  const [count, setCount] = useState<number>(0);
  // <- statement
  if (count > 10) {
  // <- statement ... }
  //              ^ block ... }
    return <strong>{label}: enough</strong>;
    // <- statement
  }
  return (
  // <- statement ... );
    <button className="counter" onClick={() => setCount(count + 1)}>
      {label}: {count}
      {children}
    </button>
  );
}

export const Pair = () => {
// <- statement ... };
//           ^^^^ name
//                        ^ block ... }
  return (
    <>
      <Counter label="left" />
      <Counter label="right">{[1, 2].map((n) => <i key={n}>{n}</i>)}</Counter>
    </>
  );
};
