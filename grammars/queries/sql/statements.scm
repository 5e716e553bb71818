; A statement without its semicolon, which belongs to the node around it.
(statement) @statement

; A column of a table.
(column_definition) @statement
