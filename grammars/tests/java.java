package org.example.orders;
// <- statement

import java.util.List;
// <- import
// <- statement
import static java.util.Objects.requireNonNull;
// <- import

@FunctionalInterface
// <- statement ... }
interface Rule {
//        ^^^^ name
//             ^ block ... }
    int LIMIT = 10;
    // <- statement
    //  ^^^^^ name

    boolean allows(Order order);
    // <- statement
    //      ^^^^^^ name
}

public final class Order implements Comparable<Order> {
// <- symbol ... }
//                 ^^^^^ name
//                                                    ^ block ... }
    private final List<String> lines;
    // <- statement
    // <- symbol
    //                         ^^^^^ name

    static {
    // <- statement ... }
    //     ^ block ... }
        System.setProperty("orders", "1");
    }

    Order(List<String> lines) {
    // <- symbol ... }
    //                        ^ block ... }
        this.lines = requireNonNull(lines);
        // <- statement
    }

    @Override
    public int compareTo(Order other) {
    //         ^^^^^^^^^ name
        for (int i = 0; i < lines.size(); i++) {
        // <- statement ... }
        //   ^ !statement
        //                                     ^ block ... }
            var line = lines.get(i);
            // <- statement
            if (line.isEmpty()) continue;
            // <- statement
            //                  ^ statement
        }
        try (var scope = open()) {
        // <- statement ... }
            return switch (other.state) {
            // <- statement ... };
            //                          ^ block ... }
                case OPEN -> 1;
                // <- statement
                default -> { yield -1; }
                //         ^ block
                //           ^ statement
            };
        } catch (Exception error) {
        //                        ^ block ... }
            throw new IllegalStateException(error);
            // <- statement
        }
    }
}

enum State { OPEN, CLOSED { boolean isFinal() { return true; } } }
// <- statement
//         ^ block
//           ^ statement
//                 ^^^^^^ name

record Pair<A, B>(A left, B right) {}
// <- symbol
//     ^^^^ name
