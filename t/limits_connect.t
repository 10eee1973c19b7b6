#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The rate of CONNECTs of a gateway, and bans after failures: by address, by
# client id, of all workers, with an end; nginx -t.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Auth qw/ signature reason /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_file('keys', "AK secret ins\n");

my %gateways = (
    mqtt     => '',
    rate     => 'connect_rate 5r/s burst=10;',
    address  => 'ban failures=3 within=10s for=2s;',
    clientid => 'ban failures=3 for=2s by=clientid;',
    both     => 'ban failures=5 by=both;',
    window   => 'ban failures=2 within=1s for=1h;',
);

$t->write_file_expand('nginx.conf', conf(%gateways));
$t->run;

my @good = signature('good', 'AK', 'secret', 'ins');
my @bad = (@good, password => 'x' x 28);

###############################################################################
# rate

my @reasons = map { reason($t, 'rate', @good) } 1 .. 40;
my $accepted = grep { $_ eq '0' } @reasons;

cmp_ok($accepted, '>=', 10, 'the burst is accepted');
cmp_ok($accepted, '<', 30, 'not all are');
is(join(' ', grep { $_ ne '0' && $_ ne 0x9f } @reasons), '', 'with 0x9f');
is($t->total('connects_limited'), 40 - $accepted, 'counted');

is(reason($t, 'mqtt', @good), 0, 'another gateway');
ok(wait_for { reason($t, 'rate', @good) eq '0' }, 'later there is room');

# a client of 3.1.1 is told to come again

my $refused;
ok(wait_for { ($refused = reason($t, 'rate', @good, version => 4)) ne '0' },
   '3.1.1: refused');
is($refused, 3, '3.1.1: server unavailable');

###############################################################################
# bans by address

is(reason($t, 'address', @good), 0, 'before');
is(reason($t, 'address', @bad), 0x86, 'a failure') for 1 .. 3;
is(reason($t, 'address', @good), 0x8a, 'banned, whoever it is');
is(reason($t, 'address', @good, version => 4), 5, '3.1.1: not authorized');
is($t->total('bans'), 1, 'one ban');
is($t->total('connects_banned'), 2, 'and two that are banned');
ok($t->wait_log(qr/\[notice\] .*address is banned for 2 s.*client id/),
   'logged');
ok((wait_for { reason($t, 'address', @good) eq '0' } 5), 'it has an end');
is(reason($t, 'address', @bad), 0x86, 'two failures') for 1 .. 2;
is(reason($t, 'address', @good), 0, 'are not enough again');

is(reason($t, 'mqtt', @bad), 0x86, 'without the directive') for 1 .. 10;
is(reason($t, 'mqtt', @good), 0, 'nobody is banned');

###############################################################################
# by client id

is(reason($t, 'clientid', @bad), 0x86, 'a failure') for 1 .. 3;
is(reason($t, 'clientid', @good), 0x8a, 'banned');
is(reason($t, 'clientid', signature('other', 'AK', 'secret', 'ins')), 0,
   'another client from there is not');
ok((wait_for { reason($t, 'clientid', @good) eq '0' } 5), 'it has an end');

# who is connected stays

my $c = $t->client(port => 'both', @good);
is(reason($t, 'both', @bad, client_id => "x$_"), 0x86, 'failures') for 1 .. 5;
is(reason($t, 'both', signature('y', 'AK', 'secret', 'ins')), 0x8a, 'banned');
$c->expect_alive('a connected client is not concerned');
$c->disconnect;

###############################################################################
# only failures within the time count; other refusals do not

is(reason($t, 'window', @bad), 0x86, 'one failure');
my $start = now();
ok((wait_for { now() > $start + 2.1 } 5), 'two seconds');
is(reason($t, 'window', @bad), 0x86, 'another one');
is(reason($t, 'window', @good), 0, 'too far apart');

# a flood of client ids does not fill anything up

my @flood = map { $t->socket(port => 'clientid', version => 5) } 1 .. 200;

for my $round (1 .. 3) {
    for my $n (0 .. $#flood) {
        $flood[$n] = $t->socket(port => 'clientid', version => 5)
            if $round > 1;
        $flood[$n]->send('CONNECT', @bad, client_id => "flood$round$n");
    }

    my $n = grep { my $p = $_->recv; $p && $p->{reason} == 0x86 } @flood;
    is($n, 200, 'a flood of ids is refused');
    $_->close for @flood;
}

is(reason($t, 'clientid', @good), 0, 'and bans nobody else');

# bans outlive a reload

ok(wait_for { reason($t, 'window', @bad) eq 0x8a }, 'banned for long');
ok($t->reload, 'reload');
is(reason($t, 'window', @good), 0x8a, 'still banned');

###############################################################################
# nginx -t

for my $case (
    [ 'connect_rate;', 'invalid number of arguments' ],
    [ 'connect_rate 5;', 'invalid parameter "5"' ],
    [ 'connect_rate 0r/s;', 'invalid parameter "0r/s"' ],
    [ 'connect_rate 5r/m;', 'invalid parameter "5r/m"' ],
    [ 'connect_rate 5r/s burst=0;', 'invalid parameter "burst=0"' ],
    [ 'connect_rate 5r/s x=1;', 'invalid parameter "x=1"' ],
    [ 'connect_rate 5r/s; connect_rate 5r/s;', 'is duplicate' ],
    [ 'ban for=1s;', '"ban" directive needs "failures="' ],
    [ 'ban failures=0;', 'invalid parameter "failures=0"' ],
    [ 'ban failures=1 within=0;', 'invalid parameter "within=0"' ],
    [ 'ban failures=1 for=x;', 'invalid parameter "for=x"' ],
    [ 'ban failures=1 by=user;', 'invalid parameter "by=user"' ],
    [ 'ban failures=1; ban failures=1;', 'is duplicate' ],
) {
    my ($text, $message) = @$case;

    my ($output) = $t->nginx_t(conf(mqtt => $text));
    like($output, qr/\[emerg\] .*\Q$message\E.* in \S+:\d+$/m,
         "refused: $text");
}

my ($output) = $t->nginx_t($t->conf(server => 'mqtt_publish_rate -1;'));
like($output, qr/\[emerg\] .*(?:invalid number|value must be)/,
     'refused: mqtt_publish_rate -1');

($output) = $t->nginx_t($t->conf(server => 'mqtt_publish_bytes_rate x;'));
like($output, qr/\[emerg\] .*"mqtt_publish_bytes_rate" directive invalid/,
     'refused: mqtt_publish_bytes_rate x');

done_testing();

###############################################################################

sub conf {
    my (%gateways) = @_;

    my $text = join '', map { <<"END" } sort keys %gateways;
    mqtt_gateway $_ {
        zone 4m;
        redis %%REDIS%% prefix=$_:;
        auth signature %%TESTDIR%%/keys;
        $gateways{$_}
    }
    server { listen 127.0.0.1:%%PORT_$_%% reuseport; mqtt_pass $_; }
END

    return <<"END";
%%GLOBALS%%
worker_processes 2;
worker_rlimit_nofile 4096;
events { worker_connections 2048; }
stream {
$text
}
http {
    %%HTTP_GLOBALS%%
    server {
        listen 127.0.0.1:%%PORT_http%%;
        location /mqtt { mqtt_status; }
    }
}
END
}

###############################################################################
