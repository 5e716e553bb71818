; What JavaScript, TypeScript and TSX have in common.
(function_declaration name: (identifier) @name) @symbol

(generator_function_declaration name: (identifier) @name) @symbol

; A class is named by an identifier in JavaScript and by a type identifier in TypeScript.
(class_declaration name: (_) @name) @symbol

(method_definition name: (_) @name) @symbol

; A function, a class or a value bound at the top of a module.
(program
  [(lexical_declaration (variable_declarator name: (identifier) @name))
   (variable_declaration (variable_declarator name: (identifier) @name))] @symbol)

(export_statement
  declaration: (lexical_declaration
    (variable_declarator name: (identifier) @name))) @symbol
