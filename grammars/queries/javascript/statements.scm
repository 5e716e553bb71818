; inherits: ecma

(field_definition) @statement

(program (using_declaration) @statement)
(statement_block (using_declaration) @statement)
