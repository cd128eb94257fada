-- A web server that tells the fleet where it is. Start its agent with
--   stead agent web.lua --exchange etcd=http://10.0.0.5:2379 --may-publish 'web/{host}'

local port = values.port or 8080

file "/srv/www/" {}
file "/srv/www/index.html" { content = "served by " .. exchange.host .. "\n" }

exchange.publish("web/" .. exchange.host, { address = values.address or "127.0.0.1", port = port })
