-- 200 resources and more of every sort, in two variants: what one has and the other has not is removed,
-- restored or changed whenever the variant changes. VARIANT is "a" or "b".
local a = VARIANT == "a"

-- packages: for ever, of two versions, with a conffile, with a service, of one variant only
for i = 1, 24 do pkg(("stead-p%02d"):format(i)) {} end
for i = 25, 32 do pkg(("stead-p%02d"):format(i)) { version = a and "1.0" or "2.0", allowdowngrade = true } end
for i = 33, 40 do
  if a == (i % 2 == 1) then pkg(("stead-p%02d"):format(i)) {} end
end
svc "stead-p02" { state = "running", enabled = true }
file "/etc/stead-p03.conf" { content = "setting = " .. VARIANT .. "\n", needs = pkg "stead-p03" }

-- accounts: for ever, changed, of one variant only
for i = 1, 20 do
  local name = ("%02d"):format(i)
  if i <= 16 or a == (i % 2 == 1) then
    group("g" .. name) { gid = 3000 + i }
    user("u" .. name) {
      uid = 4000 + i, group = "g" .. name, managehome = i <= 4,
      groups = i <= 8 and { a and "g09" or "g10" } or {}, membership = "inclusive",
      shell = (i <= 12 and not a) and "/bin/bash" or "/bin/sh", comment = "user of tests " .. i,
    }
  end
end

-- units: for ever, changed (and so restarted), stopped in one variant, of one variant only
for i = 1, 20 do
  local name = ("stead-u%02d.service"):format(i)
  if i <= 16 or a == (i % 2 == 1) then
    local changes = i >= 9 and i <= 12
    unit(name) {
      settings = {
        Unit = { Description = "service of tests " .. i },
        Service = { ExecStart = "/bin/sleep " .. (changes and not a and "200000" or "100000") },
        Install = { WantedBy = "multi-user.target" },
      },
      notify = svc(name),
    }
    local rests = i >= 13 and i <= 16 and not a
    svc(name) { state = rests and "stopped" or "running", enabled = not rests, needs = user "u01" }
  end
end

-- mounts: for ever, with other flags, of another size, of one variant only; the last one as systemd has them
for i = 1, 6 do file("/srv/mixed/m" .. i .. "/") {} end
mount "/srv/mixed/m1" { device = "tmpfs", fstype = "tmpfs", options = "size=1m" }
mount "/srv/mixed/m2" { device = "mixed", fstype = "tmpfs", options = a and "size=1m,noexec" or "size=1m,nosuid", dump = a and 0 or 1 }
mount "/srv/mixed/m3" { device = "tmpfs", fstype = "tmpfs", options = { a and "size=1m" or "size=2m", "mode=0750" } }
if a then
  mount "/srv/mixed/m4" { device = "tmpfs", fstype = "tmpfs", options = "size=1m,nodev" }
else
  mount "/srv/mixed/m5" { device = "/srv/mixed/deep", options = "bind,ro" }
end
unit "srv-mixed-m6.mount" {
  settings = {
    Mount = { What = "tmpfs", Where = "/srv/mixed/m6", Type = "tmpfs", Options = a and "size=1m" or "size=2m" },
    Install = { WantedBy = "multi-user.target" },
  },
  notify = svc "srv-mixed-m6.mount",
}
svc "srv-mixed-m6.mount" { state = "running", enabled = true, needs = file "/srv/mixed/m6/" }

-- files, with owners and a command that has to hear of each change
file "/srv/mixed/" { mode = "0750", owner = "u01", group = "g01" }
file "/srv/mixed/seen/" {}
file "/srv/mixed/deep/" {}
file "/srv/mixed/deep/er/" { owner = "u02" }
for i = 1, 24 do
  file("/srv/mixed/fixed" .. i) { content = ("fixed %d\n"):format(i):rep(i * 50), mode = "0640", owner = "u03" }
end
for i = 1, 12 do
  local path = "/srv/mixed/deep/" .. i
  file(path) {
    content = ("%s %d\n"):format(VARIANT, i):rep(20), owner = a and "u04" or "u05", mode = a and "0600" or "0644",
    needs = pkg(("stead-p%02d"):format(24 + i % 8 + 1)), notify = exec("seen " .. i),
  }
  exec("seen " .. i) { cmd = ("cat %s > /srv/mixed/seen/%d"):format(path, i), shell = "/bin/sh", refreshonly = true }
end
for i = 1, 12 do
  if a == (i % 2 == 1) then file("/srv/mixed/deep/er/only" .. i) { content = "only in " .. VARIANT } end
end
if a then
  for i = 1, 6 do file("/etc/stead-adopted" .. i) { content = "managed\n", mode = "0600" } end
  file "/srv/mixed/tree/" {}
  file "/srv/mixed/tree/below/" {}
  file "/srv/mixed/tree/below/x" { content = "x" }
end
for i = 1, 5 do file("/srv/mixed/link" .. i) { target = "/srv/mixed/deep/" .. (a and i or i + 1) } end
for i = 1, 6 do
  line("line " .. i) { file = "/etc/stead-lines", content = ("10.0.0.%d %s"):format(i, i <= 3 and "always" or VARIANT),
                       match = ("^10\\.0\\.0\\.%d "):format(i) }
  if i <= 4 or a then
    ini("ini " .. i) { path = "/etc/stead.ini", section = "s" .. i % 2, key = "k" .. i, value = i <= 2 and "always" or VARIANT }
  end
end

for i = 1, 10 do
  if i <= 6 or a == (i % 2 == 1) then
    cron("job " .. i) {
      command = "/bin/true " .. (i <= 3 and "always" or VARIANT), minute = i, hour = a and 2 or 3,
      user = i % 2 == 0 and "u06" or "root", target = i == 5 and "/etc/cron.d/stead-mixed" or nil,
    }
  end
end
