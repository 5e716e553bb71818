package org.example.orders
// <- statement

import scala.collection.mutable.{Map, Set}
// <- import
// <- statement

sealed trait Shape {
// <- symbol ... }
//           ^^^^^ name
//                 ^ block ... }
  def area: Double
  // <- statement
  //  ^^^^ name
}

case class Circle(radius: Double) extends Shape {
// <- statement ... }
//         ^^^^^^ name
//                                              ^ block ... }
  override def area: Double = math.Pi * radius * radius
  // <- symbol
  //           ^^^^ name
}

object Orders {
// <- symbol ... }
//     ^^^^^^ name
  private val Limit = 10
  // <- statement
  //          ^^^^^ name
  type Lines = List[String]
  // <- statement
  //   ^^^^^ name

  def total(lines: Lines)(implicit price: String => Int): Int = {
  // <- statement ... }
  //                                                            ^ block ... }
    var sum = 0
    // <- statement
    for (line <- lines if line.nonEmpty) {
    // <- statement ... }
    //                                   ^ block ... }
      sum += price(line)
      // <- statement
    }
    if (sum > Limit) println(s"large: $sum") else sum = 0
    // <- statement
    lines.headOption match {
    // <- statement ... }
    //                     ^ block ... }
      case Some(first) =>
      // <- statement ... sum + first.length
        sum + first.length
        // <- statement
      case None => sum
      // <- statement
      //           ^ statement
    }
  }
}

enum Colour:
// <- symbol
//         ^ block
  case Red, Blue
  // <- statement
  //   ^^^ name

given ordering: Ordering[Circle] = Ordering.by(_.area)
// <- statement

def twice(x: Int): Int =
// <- statement ... y * 2
  val y = x + 1
  // <- block ... y * 2
  // <- statement
  y * 2
  // <- statement
