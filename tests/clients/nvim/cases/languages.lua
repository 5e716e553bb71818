-- Files in several languages: a suggestion comes, and accepting it gives the text before, the
-- suggestion, and the text after.

local FILES = { 'Point.java', 'cache.ts', 'cart.js', 'colors.rs', 'shapes.py', 'user.go', 'vector.cpp' }

return function(session)
  for _, name in ipairs(FILES) do
    session:open_example(name)
    local ghost = session:resume()
    local before, after = session:around_cursor()
    session:accept()
    session.equal({ session:around_cursor() }, { before .. ghost.text, after }, name)
    session:close()
  end
end
