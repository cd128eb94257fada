local port = 8080
local people = { "ada", "grace" }

group "shop" { gid = 4000 }

for i, who in ipairs(people) do
  user(who) { uid = 4000 + i, group = "shop", homedir = "/home/" .. who }
end

file "/srv/shop/" {}

file "/srv/shop/index.html" {
  content = template("index.html.tmpl", { people = people }),
}

file "/etc/shop.conf" {
  content = "port = " .. port .. "\n",
  mode = "0640",
}

exec "build" {
  cmd = "echo built > tmp/built",
  shell = "/bin/sh",
  creates = "/tmp/built",
}

exec "test" {
  cmd = "cat tmp/built && echo tested > tmp/tested",
  shell = "/bin/sh",
  creates = "/tmp/tested",
  needs = exec "build",
}

-- removed in step 7
file "/srv/shop/robots.txt" { content = "User-agent: *\n" }
file "/etc/motd" { content = "kept by stead\n" }
-- end
