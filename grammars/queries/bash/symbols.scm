(function_definition name: (word) @name) @symbol

(program
  (variable_assignment name: (variable_name) @name) @symbol)

(program
  (declaration_command
    (variable_assignment name: (variable_name) @name)) @symbol)
