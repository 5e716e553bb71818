-- For `vim.lsp.enable('infill')` (0.11 and later) in place of setup(): Neovim starts the server, the
-- plugin draws and has its command and <Plug> mappings.

require('infill').serve()
return require('infill.server').config()
