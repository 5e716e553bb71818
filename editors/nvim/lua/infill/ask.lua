-- Questions to the server: one at a time for a buffer, the newest; an answer that comes late, or for a
-- text of before, is dropped.

local client_of = require('infill.client')
local columns = require('infill.columns')
local cursor = require('infill.cursor')
local suggestion = require('infill.suggestion')

local M = {}

--- Kinds of questions, as the protocol numbers them.
M.INVOKED, M.AUTOMATIC = 1, 2

---@param state infill.State
function M.cancel(state)
  if state.asked then
    client_of.cancel(state.client, state.asked)
    state.asked = nil
  end
end

local function params(buffer, kind, encoding)
  local line, row, column = cursor.at()
  local function position(byte)
    return { line = row, character = columns.from_bytes(line, byte, encoding) }
  end
  local entry = cursor.selected_entry()
  return {
    textDocument = { uri = vim.uri_from_bufnr(buffer), version = vim.lsp.util.buf_versions[buffer] },
    position = position(column),
    context = {
      triggerKind = kind,
      selectedCompletionInfo = entry
        and { text = entry.text, range = { start = position(entry.start), ['end'] = position(column) } },
    },
    formattingOptions = {
      tabSize = vim.lsp.util.get_effective_tabstop(buffer),
      insertSpaces = vim.bo[buffer].expandtab,
    },
  }
end

--- What of an answer can be shown at the cursor.
local function read(result, encoding)
  local line, row, column = cursor.at()
  local found, seen = {}, {}
  for _, item in ipairs(result and (result.items or result) or {}) do
    local each = suggestion.new(item, line, row, column, encoding)
    if each and not seen[each.text] and cursor.rest_of(each) then
      seen[each.text] = true
      table.insert(found, each)
    end
  end
  return found
end

--- Asks in the current buffer; `answered` gets the suggestions if nothing was typed or asked meanwhile.
---@param state infill.State
---@param kind integer
---@param answered fun(suggestions: infill.Suggestion[])
function M.ask(state, kind, answered)
  M.cancel(state)
  local buffer, place, encoding = vim.api.nvim_get_current_buf(), cursor.place(), state.client.offset_encoding
  local id
  local function answer(fault, result)
    if state.asked ~= id then
      return
    end
    state.asked = nil
    if not fault and vim.api.nvim_get_current_buf() == buffer and cursor.place() == place then
      answered(read(result, encoding))
    end
  end
  id = client_of.request(state.client, 'textDocument/inlineCompletion', params(buffer, kind, encoding), buffer, answer)
  state.asked = id
end

return M
