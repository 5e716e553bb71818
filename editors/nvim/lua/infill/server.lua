-- The server's life: one for the whole editor, started with the first file, started again with a
-- growing pause if it ends by itself, told of settings, files and focus.

local client_of = require('infill.client')
local config = require('infill.config')
local folders = require('infill.folders')
local ghost = require('infill.ghost')
local progress = require('infill.progress')
local status = require('infill.status')

local M = {}

M.NAME = 'infill'

-- Pauses before a new start, in ms: each twice the last, up to the longest. A server that has lived
-- this long begins anew.
local FIRST_PAUSE, LONGEST_PAUSE, LONG_LIFE = 500, 60000, 60000

-- A server that does not end when asked is ended after this many ms.
local FAREWELL = 1000

local pause = FIRST_PAUSE
local timer ---@type uv.uv_timer_t?
local current ---@type integer? The client of the server.
local started = 0
local told = {} ---@type table<string, boolean>
local last_end ---@type { code: integer, signal: integer }? How the server ended that ended just now.
local leaving = {} ---@type table<integer, boolean> Clients that were asked to end.

--- Says something once, until things have gone well again.
local function tell_once(message)
  if not told[message] then
    told[message] = true
    vim.notify(message, vim.log.levels.WARN)
  end
end

--- The server that runs, or is starting.
---@return vim.lsp.Client?
function M.client()
  local client = current and vim.lsp.get_client_by_id(current)
  return client and not client_of.is_stopped(client) and client or nil
end

--- Is a server that ended about to be started again?
---@return boolean
function M.is_pausing()
  return timer ~= nil
end

local function start_later()
  if timer then
    return
  end
  timer = vim.defer_fn(function()
    timer = nil
    M.start()
  end, pause)
  pause = math.min(pause * 2, LONGEST_PAUSE)
end

--- Starts the server. Neovim has words of its own for each end that is not in peace; ours come once,
--- so it is told of a peaceful one.
local function spawn(dispatchers)
  local on_exit = dispatchers.on_exit
  dispatchers.on_exit = function(code, signal)
    last_end = { code = code, signal = signal }
    on_exit(0, 0)
  end
  return vim.lsp.rpc.start(config.options.cmd, dispatchers)
end

local function ended(code, signal, client_id)
  if last_end then
    code, signal, last_end = last_end.code, last_end.signal, nil
  end
  progress.forget_all()
  current = current ~= client_id and current or nil
  if leaving[client_id] or vim.v.exiting ~= vim.NIL then
    leaving[client_id] = nil
    return
  end
  status.set(nil)
  if vim.uv.now() - started > LONG_LIFE then
    pause, told = FIRST_PAUSE, {}
  end
  local how = signal ~= 0 and ('by signal %d'):format(signal) or ('with status %d'):format(code)
  tell_once(('Infill: the server ended %s and is started again. :Infill log has its last words.'):format(how))
  start_later()
end

local function settings()
  local chosen = config.options.settings
  return vim.tbl_isempty(chosen) and vim.empty_dict() or chosen
end

local function capabilities()
  local ours = vim.lsp.protocol.make_client_capabilities()
  -- Neovims before 0.12 do not know of it.
  ours.textDocument.inlineCompletion = ours.textDocument.inlineCompletion or { dynamicRegistration = false }
  return ours
end

--- What `vim.lsp.start` takes, and what lsp/infill.lua gives to `vim.lsp.config`.
---@return vim.lsp.ClientConfig
function M.config()
  return {
    name = M.NAME,
    cmd = spawn,
    root_markers = folders.MARKERS,
    capabilities = capabilities(),
    init_options = {
      editorInfo = { name = 'Neovim', version = tostring(vim.version()) },
      infill = vim.tbl_extend('force', config.options.settings, { status = true }),
    },
    settings = { infill = settings() },
    handlers = {
      ['$/progress'] = progress.handle,
      didChangeStatus = function(_, result)
        status.set(client_of.plain(result))
      end,
    },
    on_exit = vim.schedule_wrap(ended),
  }
end

--- Is this a file that someone edits?
local function is_file(buffer)
  return vim.api.nvim_buf_is_loaded(buffer) and vim.bo[buffer].buftype == '' and vim.bo[buffer].buflisted
end

--- Connects a buffer to the server, which is started if there is none.
---@param buffer integer
function M.attach(buffer)
  if not is_file(buffer) or timer then
    return
  end
  local client = M.client()
  if client then
    if not vim.lsp.buf_is_attached(buffer, client.id) then
      vim.lsp.buf_attach_client(buffer, client.id)
    end
    return
  end
  local command = config.options.cmd[1]
  if vim.fn.executable(command) == 0 then
    tell_once(("Infill: '%s' is not on the PATH: install it, or name it in setup({ cmd = … })"):format(command))
    return
  end
  started = vim.uv.now()
  local how = M.config()
  how.root_dir = folders.of(buffer)
  current = vim.lsp.start(how, {
    bufnr = buffer,
    reuse_client = function()
      return false
    end,
  })
end

--- Connects all files that are open. A buffer without a name is connected when it is typed in, so
--- that an editor with nothing in it starts no server.
function M.start()
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_get_name(buffer) ~= '' then
      M.attach(buffer)
    end
  end
end

--- Ends the server; does not wait for that.
function M.stop()
  if timer then
    timer:stop()
    timer:close()
    timer = nil
  end
  local client = M.client()
  if client then
    current = nil
    leaving[client.id] = true
    for buffer in pairs(client.attached_buffers) do
      vim.lsp.buf_detach_client(buffer, client.id)
    end
    client_of.stop(client)
    vim.defer_fn(function()
      if not client_of.is_stopped(client) then
        client_of.stop(client, true)
      end
    end, FAREWELL)
  end
  status.set(nil)
end

--- A new server for all open files; a pause that was running is over.
function M.restart()
  M.stop()
  pause, told = FIRST_PAUSE, {}
  M.start()
end

--- Changes settings, here and in the server.
---@param changes infill.Settings
function M.change(changes)
  config.options.settings = vim.tbl_deep_extend('force', config.options.settings, changes)
  local client = M.client()
  if client then
    client.settings = { infill = settings() }
    client_of.notify(client, 'workspace/didChangeConfiguration', { settings = { infill = settings() } })
  end
  ghost.refresh()
end

--- Begins to follow what is opened and looked at; once.
function M.follow()
  local group = vim.api.nvim_create_augroup('infill.server', {})
  vim.api.nvim_create_autocmd({ 'FileType', 'BufReadPost', 'BufNewFile', 'InsertEnter' }, {
    group = group,
    callback = function(event)
      M.attach(event.buf)
    end,
  })
end

--- Begins to draw wherever a client of this name is attached, however it was started; once.
function M.serve()
  local group = vim.api.nvim_create_augroup('infill.client', {})
  local function focus(client, buffer)
    client_of.notify(client, 'textDocument/didFocus', { textDocument = { uri = vim.uri_from_bufnr(buffer) } })
  end
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == M.NAME then
        current = client.id
        -- Whose command was given to vim.lsp.config() is started again with that.
        local command = client.config.cmd
        config.options.cmd = type(command) == 'table' and command or config.options.cmd
        folders.add(client, folders.of(event.buf))
        ghost.attach(event.buf, client)
        if event.buf == vim.api.nvim_get_current_buf() then
          focus(client, event.buf)
        end
      end
    end,
  })
  vim.api.nvim_create_autocmd('LspDetach', {
    group = group,
    callback = function(event)
      ghost.detach(event.buf, event.data.client_id)
    end,
  })
  vim.api.nvim_create_autocmd('BufEnter', {
    group = group,
    callback = function(event)
      local client = M.client()
      if client and client.initialized and vim.lsp.buf_is_attached(event.buf, client.id) then
        focus(client, event.buf)
      end
    end,
  })
end

return M
