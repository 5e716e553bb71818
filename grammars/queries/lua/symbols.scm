(function_declaration name: (_) @name) @symbol

(chunk
  (variable_declaration
    (assignment_statement
      (variable_list name: (identifier) @name))) @symbol)

(chunk
  (assignment_statement
    (variable_list name: (_) @name)) @symbol)

; A function kept in a table: `{ name = function() … end }`.
(field
  name: (identifier) @name
  value: (function_definition)) @symbol
