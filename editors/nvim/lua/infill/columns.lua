-- Columns in bytes, as Neovim counts, and in the units that client and server agreed on.

local M = {}

--- The byte column of a column in the server's units; the line's end if there is no such column.
---@param line string
---@param column integer
---@param encoding string
---@return integer
function M.to_bytes(line, column, encoding)
  local byte = column
  if encoding ~= 'utf-8' then
    byte = vim.fn.byteidxcomp(line, column, encoding == 'utf-16')
  end
  return (byte < 0 or byte > #line) and #line or byte
end

--- The column in the server's units of a byte column.
---@param line string
---@param byte integer
---@param encoding string
---@return integer
function M.from_bytes(line, byte, encoding)
  local before = line:sub(1, byte)
  if encoding == 'utf-8' then
    return #before
  end
  return encoding == 'utf-16' and vim.fn.strutf16len(before, 1) or vim.fn.strchars(before)
end

return M
