using System;
// <- import
// <- statement
using Lines = System.Collections.Generic.List<string>;
// <- import

namespace Example.Orders
// <- symbol ... }
{
// <- block ... }
    public enum State { Open, Closed = 2 }
    // <- statement
    //          ^^^^^ name
    //                ^ block
    //                  ^ statement

    [Serializable]
    // <- statement ... }
    public sealed class Order : IDisposable
    //                  ^^^^^ name
    {
    // <- block ... }
        private readonly Lines _lines = new();
        // <- statement
        //                     ^^^^^^ name

        public string Customer { get; private set; } = "nobody";
        // <- statement
        //            ^^^^^^^^ name
        //                     ^ block
        //                       ^ statement

        public Order(string customer) => Customer = customer;
        // <- symbol
        //     ^^^^^ name

        public async Task<int> Total(int limit)
        // <- symbol ... }
        //                     ^^^^^ name
        {
        // <- block ... }
            var total = 0;
            // <- statement
            for (var i = 0; i < limit; i++)
            // <- statement ... }
            //   ^ !statement
            {
            // <- block ... }
                total += await Price(_lines[i]);
                // <- statement
            }
            foreach (var line in _lines) Console.WriteLine($"{line}: {total:N2}");
            // <- statement
            //                           ^ statement
            using (var scope = Open())
            // <- statement ... }
            {
                if (scope is null) throw new InvalidOperationException();
                // <- statement
                //                 ^ statement
            }
            switch (total)
            // <- statement ... }
            {
            // <- block ... }
                case 0:
                // <- statement ... return 0;
                    return 0;
                    // <- statement
                default:
                    break;
            }
            return total;
        }

        public void Dispose() { }
    }

    public record Pair(int Left, int Right);
    // <- symbol
    //            ^^^^ name
}
