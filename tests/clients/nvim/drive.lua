-- Runs one case and ends with status 0 if it passed: `nvim --clean --headless -l drive.lua CASE [WAY]`.
--
-- This Neovim is the person: it starts a second one (see session.lua) and types into it. Takes the
-- server's binary from INFILL_BIN. A case is a function in CASE.lua that takes a session and fails by
-- raising an error. It is looked for in the folder cases beside this file, then in the one of WAY, a
-- folder with the configuration that the second Neovim gets (an init.lua; the one here if left out).

assert(vim.env.INFILL_BIN, 'set INFILL_BIN to the built server')
local folder = vim.fs.dirname(vim.uv.fs_realpath(arg[0] or '') or 'tests/clients/nvim/drive.lua')
local way = arg[2] or folder
local Session = dofile(folder .. '/session.lua')

local case = ('%s/cases/%s.lua'):format(folder, arg[1])
local run = dofile(vim.uv.fs_stat(case) and case or ('%s/cases/%s.lua'):format(way, arg[1]))

local session = Session.start(way)
local passed, fault = xpcall(run, debug.traceback, session)
if not passed then
  local shown, screen = pcall(session.screen, session)
  io.stderr:write(fault, '\n', shown and 'the screen:\n' .. screen or 'no screen', '\n')
end
session:stop()
os.exit(passed and 0 or 1)
