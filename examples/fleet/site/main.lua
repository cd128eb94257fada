-- What every host of this fleet runs, each by its role.
local role = exchange.label("role")

file "/etc/motd" { content = exchange.host .. ", " .. (role or "no role") .. "\n" }

if role == "web" then import "web" end
if role == "lb" then import "lb" end
