-- What a model that chats can do with a selection: explain, comment, translate, fix, write tests.
--
-- What it writes is shown in a split while it comes. Where it is meant to take the selection's place
-- (comment, fix), the user is asked when it is whole.

local client_of = require('infill.client')
local columns = require('infill.columns')
local progress = require('infill.progress')
local scratch = require('infill.scratch')

local M = {}

M.KINDS = { 'explain', 'comment', 'translate', 'fix', 'tests' }

local REPLACES = { comment = true, fix = true }

local marks = vim.api.nvim_create_namespace('infill.tasks')

---@class infill.Selection Rows from 0, columns in bytes, the end not included.
---@field first integer
---@field from integer
---@field last integer
---@field to integer

--- What a command's range means: whole lines, or exactly what is selected in Visual mode.
---@param command { line1: integer, line2: integer, range: integer }
---@return infill.Selection
function M.selection(command)
  local first, last = command.line1 - 1, command.line2 - 1
  local whole = { first = first, from = 0, last = last, to = #vim.fn.getline(command.line2) }
  local start, stop = vim.fn.getpos("'<"), vim.fn.getpos("'>")
  if command.range < 2 or vim.fn.visualmode() ~= 'v' or start[2] ~= command.line1 or stop[2] ~= command.line2 then
    return whole
  end
  local line = vim.fn.getline(command.line2)
  -- The last character may have several bytes.
  local character = vim.fn.matchstr(line:sub(stop[3]), '^.')
  whole.from, whole.to = start[3] - 1, math.min(#line, stop[3] - 1 + #character)
  return whole
end

local function to_range(buffer, selection, encoding)
  local function place(row, column)
    local line = vim.api.nvim_buf_get_lines(buffer, row, row + 1, false)[1] or ''
    return { line = row, character = columns.from_bytes(line, column, encoding) }
  end
  return { start = place(selection.first, selection.from), ['end'] = place(selection.last, selection.to) }
end

--- Puts the text where the selection is by now, if the user says yes.
local function offer(kind, buffer, mark, text)
  vim.ui.select({ 'Replace the selection', 'Leave it' }, {
    prompt = ('Infill %s:'):format(kind),
    kind = 'infill.replace',
  }, function(_, choice)
    local at = vim.api.nvim_buf_is_valid(buffer)
      and vim.api.nvim_buf_get_extmark_by_id(buffer, marks, mark, { details = true })
    if choice == 1 and at and #at > 0 then
      local lines = vim.split((text:gsub('\n$', '')), '\n', { plain = true })
      vim.api.nvim_buf_set_text(buffer, at[1], at[2], at[3].end_row, at[3].end_col, lines)
    end
    pcall(vim.api.nvim_buf_del_extmark, buffer, marks, mark)
  end)
end

---@param client vim.lsp.Client
---@param buffer integer
---@param kind string One of KINDS.
---@param selection infill.Selection
---@param to? string The language to translate to.
function M.run(client, buffer, kind, selection, to)
  local mark = vim.api.nvim_buf_set_extmark(buffer, marks, selection.first, selection.from, {
    end_row = selection.last,
    end_col = selection.to,
  })
  local window = scratch.open(kind, { '…' }, kind == 'explain' and 'markdown' or to or vim.bo[buffer].filetype)
  local come = {}
  local function show(text)
    scratch.set(window, vim.split(text, '\n', { plain = true }))
  end
  local token = progress.listen(function(value)
    table.insert(come, value.text)
    show(table.concat(come))
  end)
  local argument = {
    kind = kind,
    textDocument = { uri = vim.uri_from_bufnr(buffer) },
    range = to_range(buffer, selection, client.offset_encoding),
    to = to,
    partialResultToken = token,
  }
  client_of.execute(client, { command = 'infill.task', arguments = { argument } }, buffer, function(fault, result)
    progress.forget(token)
    if fault then
      show(fault.message)
      vim.notify('Infill: ' .. fault.message, vim.log.levels.ERROR)
      return
    end
    show(result.text)
    if REPLACES[kind] then
      offer(kind, buffer, mark, result.text)
    end
  end)
end

return M
