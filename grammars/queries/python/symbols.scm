(function_definition name: (identifier) @name) @symbol

(class_definition name: (identifier) @name) @symbol

(type_alias_statement
  left: (type (identifier) @name)) @symbol

; Names bound at the top of a module or of a class body are its constants and fields.
(module
  (expression_statement
    (assignment left: (identifier) @name)) @symbol)

(class_definition
  body: (block
    (expression_statement
      (assignment left: (identifier) @name)) @symbol))
