-- Progress of the server's work, `$/progress`: to whoever waits for it here, the rest to Neovim.

local client_of = require('infill.client')

local M = {}

local listeners = {} ---@type table<any, fun(value: any)> By token.

--- Calls `heard` with the progress under a token of ours, which it gives, until forgotten.
---@param heard fun(value: any)
---@return string token
function M.listen(heard)
  local token = ('infill-%d'):format(vim.uv.hrtime())
  listeners[token] = heard
  return token
end

---@param token string
function M.forget(token)
  listeners[token] = nil
end

--- No progress comes any more from a server that ended.
function M.forget_all()
  listeners = {}
end

--- An `lsp-handler`.
function M.handle(fault, result, context, ...)
  local listener = listeners[result.token]
  if listener then
    listener(client_of.plain(result.value))
    return
  end
  return vim.lsp.handlers['$/progress'](fault, result, context, ...)
end

return M
