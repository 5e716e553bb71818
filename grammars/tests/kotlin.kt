package org.example.orders
// <- statement

import kotlin.math.max
// <- import
// <- statement

const val LIMIT = 10
// <- symbol
//        ^^^^^ name

typealias Lines = List<String>
// <- symbol
//        ^^^^^ name

sealed interface Result
// <- symbol

enum class State(val code: Int) {
// <- statement ... }
//         ^^^^^ name
//                              ^ block ... }
    OPEN(1),
    // <- statement
    // <- symbol
    CLOSED(2);
}

data class Order(val customer: String, private val lines: Lines) : Comparable<Order> {
// <- symbol ... }
//         ^^^^^ name
//                   ^^^^^^^^ name
//                                                                                   ^ block ... }
    var total: Int = 0
    // <- statement
    //  ^^^^^ name
        private set

    init {
    // <- statement ... }
    //   ^ block ... }
        require(lines.isNotEmpty()) { "no lines" }
        // <- statement
        //                          ^ block
    }

    override fun compareTo(other: Order): Int {
    // <- symbol ... }
    //           ^^^^^^^^^ name
    //                                        ^ block ... }
        val most = max(lines.size, LIMIT)
        // <- statement
        for (line in lines) {
        // <- statement ... }
        //                  ^ block ... }
            total += price(line) ?: continue
            // <- statement
        }
        if (total > most) {
        // <- statement ... }
        //                ^ block ... }
            return 1
            // <- statement
        } else {
        //     ^ block ... }
            println("small: $total")
            // <- statement
        }
        lines.forEach { line ->
        // <- statement ... }
        //            ^ block ... }
            log(line)
            // <- statement
        }
        return when (other) {
        // <- statement ... }
        //     ^ block ... }
            this -> 0
            // <- statement
            else -> -1
            // <- statement
        }
    }

    companion object {
    // <- statement ... }
    //               ^ block ... }
        fun empty() = Order("nobody", listOf("x"))
        // <- statement
        //  ^^^^^ name
    }
}
