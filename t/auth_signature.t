#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Access keys: devices that sign their client id, the permissions of keys, the
# order of methods, reload; no secret in the log.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Auth qw/ sign signature reason /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_file('keys', <<'END');
# id    secret     instance  permissions

LTAI1   XXXXX      mqtt-xxxxx
LTAI2   mySecret   mqtt-1    RW:fleet/+/state   W:telemetry/#
READER  r3ader     mqtt-1    R:fleet/#
END

$t->write_conf(gateway => "auth signature %%TESTDIR%%/keys;\n"
                          . "auth password %%TESTDIR%%/users;");
$t->write_file('users', "user:{PLAIN}pa55\n");
$t->run;

my $id = 'GID_Test@@@0001';
my @key = ('LTAI1', 'XXXXX', 'mqtt-xxxxx');

for my $version (3, 4, 5) {
    my $bad = $version == 5 ? 0x86 : 4;
    my %ok = (signature($id, @key), version => $version);
    my $bits = $ok{password};

    my $is = sub {
        my ($reason, $name, %args) = @_;

        is(reason($t, 'mqtt', %ok, %args), $reason, "$version: $name");
    };

    is($bits, 'vI009IZJZVGRwBwZvnbwjfuXxVM=', "$version: the vector");

    $is->(0, 'accepted');
    $is->(0, 'accepted again');
    $is->($bad, 'another secret', password => sign('XXXXY', $id));
    $is->($bad, 'without the padding', password => $bits =~ s/=//r);
    $is->($bad, 'truncated', password => substr $bits, 0, 20);
    $is->($bad, 'longer', password => "$bits=");
    $is->($bad, 'a zero byte behind', password => "$bits\0");
    $is->($bad, 'no signature', password => '');
    $is->($bad, 'no password', password => undef);
    $is->($bad, 'a signature of another client id', client_id => 'GID_x@@@1');
    $is->($bad, 'unknown key', username => 'Signature|LTAI9|mqtt-xxxxx');
    $is->($bad, 'another instance', username => 'Signature|LTAI1|mqtt-1');
    $is->($bad, 'two fields', username => 'Signature|LTAI1');
    $is->($bad, 'four fields', username => 'Signature|LTAI1|mqtt-xxxxx|');
    $is->($bad, 'other case', username => 'signature|LTAI1|mqtt-xxxxx');
    $is->($bad, 'another mode', username => 'Token|LTAI1|mqtt-xxxxx');
    $is->(0, 'the other method', username => 'user', password => 'pa55');
}

is(reason($t, 'mqtt', signature('', @key)), 0x86,
   'the empty client id is replaced: nobody can have signed it');
is(reason($t, 'mqtt', signature('x' x 60000, @key)), 0, 'a long client id');

###############################################################################
# permissions

my $c = $t->client(signature('dev', 'LTAI2', 'mySecret', 'mqtt-1'));

is($c->publish_wait('fleet/dev/state', 'x', qos => 1)->{reason}, 0x10,
   'may publish');
is($c->publish_wait('telemetry', 'x', qos => 1)->{reason}, 0x10,
   'may publish to the parent of "#"');
is($c->publish_wait('fleet/dev/other', 'x', qos => 1)->{reason}, 0x87,
   'may not publish elsewhere');
is($c->publish_wait('fleet/dev/state/x', 'x', qos => 2)->{reason}, 0x87,
   'nor deeper, with QoS 2');
is($c->publish_wait('telemetry/a', 'x', qos => 2)->{reason}, 0,
   'QoS 2 afterwards');

is_deeply($c->subscribe('fleet/+/state' => 1, 'fleet/a/state' => 1,
                        'fleet/#' => 1, 'telemetry/a' => 0, '#' => 0,
                        '$share/g/fleet/b/state' => 1,
                        '$share/g/fleet/#' => 1)->{codes},
          [ 1, 1, 0x87, 0x87, 0x87, 1, 0x87 ], 'subscriptions, one by one');
$c->disconnect;

$c = $t->client(signature('r', 'READER', 'r3ader', 'mqtt-1'), version => 4);
is_deeply($c->subscribe('fleet/#' => 1, '+/a' => 1)->{codes}, [ 1, 0x80 ],
          '3.1.1: 0x80');
$c->publish('fleet/x', 'x', qos => 1);
$c->expect_close('3.1.1: a publish that is not allowed closes');

cmp_ok($t->total('publishes_denied'), '==', 3, 'publishes are counted');
cmp_ok($t->total('subscribes_denied'), '==', 5, 'subscriptions are counted');

# the will

my %will = (topic => 'fleet/x', payload => 'gone', qos => 1);

is(reason($t, 'mqtt', signature('w', 'READER', 'r3ader', 'mqtt-1'),
          will => \%will), 0x87, 'a will that is not allowed');
is(reason($t, 'mqtt', signature('w', 'READER', 'r3ader', 'mqtt-1'),
          will => \%will, version => 4), 5, 'the same in 3.1.1');
is(reason($t, 'mqtt', signature('w', 'LTAI2', 'mySecret', 'mqtt-1'),
          will => { %will, topic => 'fleet/x/state' }), 0, 'one that is');

###############################################################################
# reload

$t->write_file('keys', "LTAI1 changed mqtt-xxxxx\n");
ok($t->reload, 'reload');
ok(wait_for { reason($t, 'mqtt', signature($id, @key)) eq 0x86 },
   'the old secret is refused');
ok(wait_for {
       reason($t, 'mqtt', signature($id, 'LTAI1', 'changed', 'mqtt-xxxxx'))
       eq '0' }, 'the new one is accepted');

unlike($t->error_log, qr/XXXXX|mySecret|r3ader|changed|vI009/,
       'no secret and no signature in the log');

done_testing();

###############################################################################
