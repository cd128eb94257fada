# Compiled by test/cli/test_puppet.py with a real puppet; graphs/site.json is what that gives.
define web::vhost(Integer $port = 80, Optional[Sensitive[String]] $key = undef) {
  file { "/etc/web/sites/${title}.conf":
    ensure  => file,
    content => "listen ${port}\n",
    mode    => '0644',
  }
  if $key {
    file { "/etc/web/sites/${title}.key":
      ensure    => file,
      content   => $key,
      mode      => '0600',
      show_diff => false,
    }
  }
}

class web::base {
  package { ['web', 'curl']: ensure => installed }
  file { ['/etc/web', '/etc/web/sites']:
    ensure => directory,
  }
  user { 'web':
    ensure   => present,
    uid      => '900',
    gid      => 'web',
    groups   => ['www', 'adm'],
    home     => '/var/lib/web',
    shell    => '/usr/sbin/nologin',
    system   => true,
    password => Sensitive('$6$not$shown'),
    alias    => 'webmaster',
  }
  group { 'web': ensure => present, gid => 900, members => 'ops' }
}

class web::service {
  service { 'web':
    ensure  => running,
    enable  => true,
    restart => '/bin/systemctl reload web',
  }
}

class web {
  contain web::base
  contain web::service
  web::vhost { 'shop': port => 81, key => Sensitive('geheim') }
  web::vhost { 'blog': }
  Class['web::base'] -> Web::Vhost['shop', 'blog'] ~> Class['web::service']
}

class nothing {}

stage { 'early': before => Stage['main'] }
class greet { notify { 'hello': message => 'first of all', tag => 'polite' } }
class { 'greet': stage => 'early' }
include web
include nothing

exec { 'warm up':
  command     => 'curl -s http://localhost:81/ | grep -q shop',
  path        => '/bin:/usr/bin',
  cwd         => '/',
  environment => ['LANG=C', 'URL=a=b'],
  onlyif      => ['test -d /etc/web', 'test -x /usr/bin/curl && true'],
  unless      => [['test', '-e', '/run/web is warm']],
  tries       => 3,
  try_sleep   => 2,
  timeout     => 30,
  returns     => [0, 1],
  user        => 'web',
  logoutput   => on_failure,
  require     => [Class['web'], User['webmaster'], Class['nothing']],
}
exec { '/usr/bin/true':
  refreshonly => true,
  noop        => true,
  subscribe   => File['/etc/web/sites/'],
}
file { 'link':
  ensure => link,
  path   => '/etc/web.current',
  target => 'web',
  mode   => '0777',
}
file { '/srv/www/':
  ensure  => directory,
  source  => 'file:///usr/share/web',
  recurse => true,
  purge   => true,
  force   => true,
  ignore  => '.git',
  owner   => 'web',
  backup  => '.bak',
}
file { '/etc/web.old': ensure => absent, content => 'x', force => true }
package { 'client': name => 'web-client', ensure => '1.2-3' }
package { 'telnetd': ensure => purged }
service { 'debug-shell': ensure => stopped, enable => mask }
user { 'mallory': ensure => absent, managehome => true }
notify { 'done': require => Package['web-client'] }
@file { '/never': ensure => file }
