#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The "redis" directive: what "nginx -t" accepts and refuses, with file and
# line, and that no message repeats a secret.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $dir = $t->certs;

$t->write_file('password', "s3cret\r\nsecond line\n");
$t->write_file('empty', "\nsecond line\n");
$t->write_file('long', 'x' x 2000);

my $ca = "ssl_trusted_certificate=$dir/ca.crt";
my $cert = "ssl_certificate=$dir/client.crt";
my $key = "ssl_certificate_key=$dir/client.key";

my @good = (
    '127.0.0.1',
    '127.0.0.1:6380',
    '[::1]:6380',
    'localhost',
    'unix:/tmp/redis.sock',
    '127.0.0.1 password=s3cret',
    '127.0.0.1 user=mqtt password=s3cret db=3',
    "127.0.0.1 password_file=$dir/password",
    '127.0.0.1 password_file=password',
    '127.0.0.1 timeout=500ms connect_timeout=1s queue=10',
    '127.0.0.1 prefix=a:',
    "127.0.0.1 ssl $ca",
    '127.0.0.1 ssl ssl_verify=off',
    "127.0.0.1 ssl $ca $cert $key ssl_name=redis.example",
    "[::1]:6380 ssl $ca",
    "unix:/tmp/redis.sock ssl $ca ssl_name=redis.example",
    '127.0.0.1:7000 127.0.0.1:7001 [::1]:7002 password=s3cret',
    'localhost 127.0.0.1:7001',
    'localhost cluster timeout=1s',
    '127.0.0.1 wait=0',
    '127.0.0.1 wait=2',
);

my @bad = (
    [ '127.0.0.1:0', qr/invalid port in address "127\.0\.0\.1:0" of Redis/ ],
    [ '127.0.0.1:x', qr/invalid port in address/ ],
    [ 'unix:', qr/no path in the unix domain socket in address "unix:"/ ],
    [ 'host.invalid', qr/host not found in address "host\.invalid"/ ],
    [ 'redis://u:s3cret@127.0.0.1', qr/not a URL/ ],
    [ 'u:s3cret@127.0.0.1', qr/not a URL/ ],
    [ '127.0.0.1:7000 127.0.0.1:7001:1', qr/invalid port in address/ ],
    [ '127.0.0.1:7000 s3cret@127.0.0.1:7001', qr/not a URL/ ],
    [ '127.0.0.1:7000 timeout=1s 127.0.0.1:7001',
      qr/an address of Redis stands behind a parameter/ ],
    [ '127.0.0.1:7000 127.0.0.1:7001 db=1',
      qr/"db" with Redis Cluster, which has one database only/ ],
    [ '127.0.0.1 cluster db=0', qr/"db" with Redis Cluster/ ],
    [ '127.0.0.1:7000 unix:/tmp/redis.sock',
      qr{"unix:/tmp/redis\.sock" of Redis Cluster is a UNIX domain socket} ],
    [ '127.0.0.1 wait=-1', qr/invalid value "-1" of "wait"/ ],
    [ '127.0.0.1 wait=all', qr/invalid value "all" of "wait"/ ],
    [ '127.0.0.1 cluster=on', qr/invalid parameter "cluster"/ ],
    [ '127.0.0.1 nonsense', qr/invalid parameter "nonsense"/ ],
    [ '127.0.0.1 pasword=s3cret', qr/invalid parameter "pasword"/ ],
    [ '127.0.0.1 password=', qr/empty parameter "password"/ ],
    [ '127.0.0.1 db=1 db=2', qr/duplicate parameter "db"/ ],
    [ '127.0.0.1 db=-1', qr/invalid value "-1" of "db"/ ],
    [ '127.0.0.1 db=x', qr/invalid value "x" of "db"/ ],
    [ '127.0.0.1 user=mqtt', qr/no "password" or "password_file" for "user"/ ],
    [ '127.0.0.1 password=s3cret password_file=password',
      qr/"password" and "password_file" exclude each other/ ],
    [ '127.0.0.1 password_file=absent',
      qr/open\(\) "\S+absent" failed \(2: No such file or directory\)/ ],
    [ '127.0.0.1 password_file=empty', qr/first line of "\S+" is empty/ ],
    [ '127.0.0.1 password_file=long', qr/first line of "\S+" is too long/ ],
    [ '127.0.0.1 timeout=0', qr/invalid value "0" of "timeout"/ ],
    [ '127.0.0.1 timeout=soon', qr/invalid value "soon" of "timeout"/ ],
    [ '127.0.0.1 connect_timeout=-1s',
      qr/invalid value "-1s" of "connect_timeout"/ ],
    [ '127.0.0.1 queue=0', qr/invalid value "0" of "queue"/ ],
    [ '127.0.0.1 "prefix={a}"', qr/prefix "\{a\}" of the keys .* "\{"/ ],
    [ "127.0.0.1 $ca", qr/parameters of "ssl" without "ssl"/ ],
    [ '127.0.0.1 ssl', qr/no "ssl_trusted_certificate" for "ssl_verify"/ ],
    [ '127.0.0.1 ssl ssl_verify=maybe',
      qr/invalid value "maybe" of "ssl_verify"/ ],
    [ "unix:/tmp/redis.sock ssl $ca", qr/no "ssl_name" for "ssl_verify"/ ],
    [ "127.0.0.1 ssl $ca $cert",
      qr/"ssl_certificate" and "ssl_certificate_key" need each other/ ],
    [ "127.0.0.1 ssl ssl_trusted_certificate=$dir/absent.crt",
      qr/absent\.crt/, 'core' ],
    [ "127.0.0.1;\nredis 127.0.0.1", qr/"redis" directive is duplicate/,
      undef, 6 ],
);

plan tests => @good + 2 * @bad;

for my $args (@good) {
    my ($output, $rc) = $t->nginx_t(conf($args));

    is($rc, 0, "accepted: $args") or diag($output);
}

for my $case (@bad) {
    my ($args, $message, $core, $line) = @$case;

    my ($output) = $t->nginx_t(conf($args));

    $line //= 5;

    # OpenSSL's own messages have no line

    my $where = $core ? qr// : qr/ in \S+:$line$/m;

    like($output, qr/\[emerg\] .*$message.*$where/, "refused: $args");
    unlike($output, qr/s3cret/, 'no secret in it');
}

###############################################################################

# the directive stands in line 5

sub conf {
    my ($args) = @_;

    return <<"END";
%%GLOBALS%%
events { }
stream {
    mqtt_gateway test { zone 4m; auth anonymous;
        redis $args;
    }
    server { listen 127.0.0.1:%%PORT_mqtt%%; mqtt_pass test; }
}
END
}

###############################################################################
