-- Draws ghost text with Neovim's own inline completion (0.12), so that `vim.lsp.inline_completion`
-- and what other plugins build on it work as its help says.
--
-- Its public functions can draw only what it asked for itself, 200 ms after the last key, and keep
-- text that no longer fits what was typed. So the object behind them is given what to draw; this is
-- the one place that knows that object. Where it is not as expected, the plugin draws itself.

local columns = require('infill.columns')

local M = {}

local METHODS = { 'select', 'reset_timer' }

local function class()
  local found, capability = pcall(require, 'vim.lsp._capability')
  return found and type(capability.all) == 'table' and capability.all.inline_completion or nil
end

--- Is there an inline completion that can be told what to draw?
---@return boolean
function M.is_there()
  if not vim.lsp.inline_completion then
    return false
  end
  local completor = class()
  return completor ~= nil
    and type(completor.active) == 'table'
    and vim.iter(METHODS):all(function(method)
      return type(completor[method]) == 'function'
    end)
end

local function completor(buffer)
  local found = class()
  return found and found.active[buffer]
end

---@param buffer integer
---@param client_id integer
function M.attach(buffer, client_id)
  vim.lsp.inline_completion.enable(true, { bufnr = buffer, client_id = client_id })
end

---@param buffer integer
---@param client_id integer
function M.detach(buffer, client_id)
  M.hide(buffer, client_id)
end

local function give(buffer, client_id, items, index, numbered)
  local drawer = completor(buffer)
  if drawer and drawer.client_state[client_id] then
    drawer.client_state[client_id].items = items
    drawer:select(index, numbered)
  end
end

---@param buffer integer
---@param client_id integer
---@param all infill.Shown[]
---@param index integer
---@param numbered boolean
function M.show(buffer, client_id, all, index, numbered)
  local encoding = assert(vim.lsp.get_client_by_id(client_id)).offset_encoding
  local items = vim.tbl_map(function(shown)
    local rest = shown.rest
    local line = vim.api.nvim_buf_get_lines(buffer, rest.row, rest.row + 1, true)[1]
    local stop = rest.column + #rest.replaced
    return {
      insertText = rest.text,
      command = shown.command,
      range = {
        start = { line = rest.row, character = columns.from_bytes(line, rest.column, encoding) },
        ['end'] = { line = rest.row, character = columns.from_bytes(line, stop, encoding) },
      },
    }
  end, all)
  give(buffer, client_id, items, index, numbered)
end

---@param buffer integer
---@param client_id integer
function M.hide(buffer, client_id)
  give(buffer, client_id, {}, 1, false)
end

--- Which one is drawn: `vim.lsp.inline_completion.select()` may have gone to another.
---@param buffer integer
---@return integer?
function M.chosen(buffer)
  local drawer = completor(buffer)
  local current = drawer and drawer.current
  return current and vim.tbl_count(drawer.client_state) == 1 and current._index or nil
end

--- After each key: its own question in 200 ms is not needed, unless another server waits for it.
---@param buffer integer
function M.settle(buffer)
  local drawer = completor(buffer)
  if drawer and vim.tbl_count(drawer.client_state) == 1 then
    drawer:reset_timer()
  end
end

return M
