; `BEGIN … END`, and the columns of a table with their parentheses.
[
  (block)
  (column_definitions)
  (transaction)
] @block
