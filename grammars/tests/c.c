/* A growing array of names. */
#include <stdlib.h>
// <- import
#include "names.h"
// <- import
#define LIMIT 64
// <- statement
//      ^^^^^ name

typedef unsigned int count_t;
// <- statement
//                   ^^^^^^^ name

struct names {
// <- symbol ... }
//     ^^^^^ name
//           ^ block ... }
    char **items;
    // <- statement
    count_t used, size;
    // <- symbol
    //      ^^^^ name
};

enum mode { READ, WRITE = 2 };
// <- symbol
//        ^ block
//          ^ statement
//                ^^^^^ name

static int compare(const void *left, const void *right);
// <- statement

char *names_find(struct names *names, const char *prefix)
// <- symbol ... }
//    ^^^^^^^^^^ name
{
// <- block ... }
    size_t length = strlen(prefix);
    // <- statement
    for (int i = 0; i < names->used; i++) {
    // <- statement ... }
    //   ^ !statement
    //                                    ^ block ... }
        if (strncmp(names->items[i], prefix, length) == 0)
        // <- statement ... return names->items[i];
            return names->items[i];
            // <- statement
    }
    switch (length) {
    // <- statement ... }
    //              ^ block ... }
    case 0:
    // <- statement ... break;
        abort();
        // <- statement
        break;
        // <- statement
    default: {
    //       ^ block ... }
        static int calls;
        // <- statement
        calls += 1;
    }
    }
    do {
    // <- statement ... } while (length-- > LIMIT);
        goto out;
        // <- statement
    } while (length-- > LIMIT);
out:
// <- statement
    return NULL;
}

#ifdef DEBUG
int calls = 0;
// <- statement
#endif
