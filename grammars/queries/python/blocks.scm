; An indented suite: from its first statement to the end of its last one, or of the comments after
; it. The suite of `match`, which holds the cases, starts at the colon of its head already.
(block) @block
