-- Talks to a client of any supported Neovim: since 0.11 its functions are methods.

local M = {}

local METHODS = vim.fn.has('nvim-0.11') == 1

local function call(client, name, ...)
  if METHODS then
    return client[name](client, ...)
  end
  return client[name](...)
end

--- A message without `vim.NIL`: what is null is not there.
---@param message any
---@return any
function M.plain(message)
  if message == vim.NIL then
    return nil
  elseif type(message) ~= 'table' then
    return message
  end
  return vim.tbl_map(M.plain, message)
end

---@param client vim.lsp.Client
---@param method string
---@param params? table
---@param buffer? integer
function M.notify(client, method, params, buffer)
  call(client, 'notify', method, params, buffer)
end

--- Asks; `answered` gets error and result, later. Gives the request's number for cancelling.
---@param client vim.lsp.Client
---@param method string
---@param params table
---@param buffer integer
---@param answered fun(err?: lsp.ResponseError, result?: any)
---@return integer?
function M.request(client, method, params, buffer, answered)
  local sent, id = call(client, 'request', method, params, function(fault, result)
    answered(fault, M.plain(result))
  end, buffer)
  return sent and id or nil
end

---@param client vim.lsp.Client
---@param id integer
function M.cancel(client, id)
  call(client, 'cancel_request', id)
end

---@param client vim.lsp.Client
---@param force? boolean
function M.stop(client, force)
  call(client, 'stop', force)
end

---@param client vim.lsp.Client
---@return boolean
function M.is_stopped(client)
  return call(client, 'is_stopped')
end

--- Runs a command of the server; `answered` gets error and result.
---@param client vim.lsp.Client
---@param params { command: string, arguments?: any[], workDoneToken?: string }
---@param buffer integer
---@param answered? fun(err?: lsp.ResponseError, result?: any)
---@return integer?
function M.execute(client, params, buffer, answered)
  return M.request(client, 'workspace/executeCommand', params, buffer, answered or function() end)
end

return M
