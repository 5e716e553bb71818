-- Infill in Neovim: what users and other plugins call.

local M = {}

local function actions()
  return require('infill.actions')
end

local is_serving = false

--- Draws for every client named 'infill'; setup() and lsp/infill.lua both come here.
function M.serve()
  if not is_serving then
    is_serving = true
    require('infill.ghost').start()
    require('infill.server').serve()
  end
end

--- Starts the server with the first file and maps the keys; |infill-setup|.
---@param options? infill.Options|{}
function M.setup(options)
  if vim.fn.has('nvim-0.10') == 0 then
    vim.notify('Infill wants Neovim 0.10 or later', vim.log.levels.ERROR)
    return
  end
  local chosen = require('infill.config').set(options)
  require('infill.keys').map(chosen.keys)
  M.serve()
  local server = require('infill.server')
  server.follow()
  server.start()
end

--- Puts the ghost text into the buffer. These give false if there was nothing to do.
---@return boolean
function M.accept()
  return actions().accept()
end

---@return boolean
function M.accept_word()
  return actions().accept_word()
end

---@return boolean
function M.accept_line()
  return actions().accept_line()
end

---@return boolean
function M.next()
  return actions().next()
end

---@return boolean
function M.previous()
  return actions().previous()
end

---@return boolean
function M.dismiss()
  return actions().dismiss()
end

--- Asks for suggestions now, also where `automatic` is off.
---@return boolean
function M.trigger()
  return actions().trigger()
end

---@return boolean
function M.is_visible()
  return actions().is_visible()
end

--- A few words for a status line, such as `Infill 7 ms`; the event `User InfillStatus` says when to
--- look again.
---@return string
function M.statusline()
  return require('infill.status').line()
end

return M
