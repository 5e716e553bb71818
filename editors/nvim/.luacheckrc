-- What luacheck must know of Neovim.
std = 'luajit'
globals = { 'vim' }
self = false
max_line_length = 130
files['tests/**'] = { globals = { 'fake', 'got', 'said' } }
