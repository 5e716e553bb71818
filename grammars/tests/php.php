<?php
declare(strict_types=1);
// <- statement

namespace App\Orders;
// <- statement
//        ^^^^^^^^^^ name

use App\Base\{Entity, Money};
// <- import
require_once __DIR__ . '/helpers.php';
// <- import
// <- statement

interface Priced
// <- symbol ... }
{
// <- block ... }
    public function price(): Money;
    // <- statement
    //              ^^^^^ name
}

final class Order extends Entity implements Priced
// <- statement ... }
//          ^^^^^ name
{
    use Timestamps;
    // <- statement
    private const LIMIT = 10;
    // <- statement
    //            ^^^^^ name

    private array $lines = [];
    // <- symbol
    //            ^^^^^^ name

    public function __construct(private readonly string $customer)
    // <- statement ... }
    {
    // <- block ... }
        parent::__construct();
        // <- statement
    }

    public function total(int ...$prices): float
    // <- symbol ... }
    //              ^^^^^ name
    {
        $total = 0.0;
        // <- statement
        foreach ($this->lines as $index => $line) {
        // <- statement ... }
        //                                        ^ block ... }
            if ($index > self::LIMIT) {
            // <- statement ... }
            //                        ^ block ... }
                break;
                // <- statement
            }
            echo "$index: {$line->price}\n";
            // <- statement
        }
        for ($i = 0; $i < 3; $i++) { $total += $prices[$i] ?? 0; }
        // <- statement
        //   ^ !statement
        //                         ^ block
        //                           ^ statement
        return match (true) {
        // <- statement ... };
        //                  ^ block ... }
            $total > 10 => $total * 0.9,
            // <- statement
            default => $total,
            // <- statement
        };
    }
}

enum State: string { case Open = 'open'; }
// <- symbol
//   ^^^^^ name
//                 ^ block
//                   ^ statement

function shout(string $text): string { return strtoupper($text) . '!'; }
// <- symbol
//       ^^^^^ name
