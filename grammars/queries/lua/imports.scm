; `local name = require("module")`, in the main part of the file.
(chunk
  (variable_declaration
    (assignment_statement
      (expression_list
        value: (function_call
          name: (identifier) @_require
          (#eq? @_require "require"))))) @import)

(chunk
  (function_call
    name: (identifier) @_require
    (#eq? @_require "require")) @import)
