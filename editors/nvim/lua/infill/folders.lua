-- The folders that the server knows as the workspace's: one server has all of them.

local client_of = require('infill.client')

local M = {}

M.MARKERS = { 'infill.toml', '.infillignore', '.git', '.hg' }

--- The folder that a buffer's file belongs to.
---@param buffer integer
---@return string?
function M.of(buffer)
  local name = vim.api.nvim_buf_get_name(buffer)
  return vim.fs.root(buffer, M.MARKERS) or (name ~= '' and vim.fs.dirname(name) or nil)
end

--- Tells the server of a folder that it does not know yet, if it cares.
---@param client vim.lsp.Client
---@param root? string
function M.add(client, root)
  local supported = vim.tbl_get(client.server_capabilities or {}, 'workspace', 'workspaceFolders', 'supported')
  local known = client.workspace_folders or {}
  local uri = root and vim.uri_from_fname(root)
  local is_known = vim.iter(known):any(function(folder)
    return folder.uri == uri
  end)
  if not uri or is_known or not supported then
    return
  end
  local folder = { uri = uri, name = root }
  client.workspace_folders = vim.list_extend(vim.list_slice(known), { folder })
  client_of.notify(client, 'workspace/didChangeWorkspaceFolders', { event = { added = { folder }, removed = {} } })
end

return M
