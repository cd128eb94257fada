-- stead test examples/fleet/site/site.test.lua

local web = { address = "web1", port = 80 }

case("a web server serves and tells where", {
  file = "main.lua", packages = { busybox = "" },
  exchange = { host = "web1", labels = { role = "web" } },
}, function(t)
  expect(#t.problems == 0, t.problems[1])
  expect(t.published["web/web1"].port == 80)
  expect(t.files["/srv/www/index.html"] == "served by web1\n")
end)

case("the balancer knows the web servers", {
  file = "main.lua", packages = { haproxy = "" },
  exchange = { host = "lb", labels = { role = "lb" }, data = { ["web/web1"] = web } },
}, function(t)
  expect(#t.problems == 0, t.problems[1])
  expect(t.files["/etc/haproxy/haproxy.cfg"]:find("server web1 web1:80 check", 1, true))
end)
