#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# An attacker with the credentials of one device tries to be, to read and to
# write what is another's; everything is watched by a client that may read it
# all, and by the victim.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Auth qw/ sign signature device jwt reason /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_file('keys', <<'END');
FLEET  fleetsecret  ins
WATCH  watchsecret  ins
END

$t->write_file('token', 't' x 32 . "\n");

$t->write_file('rules', <<'END');
allow all       client=GID@@@watcher #
allow publish   telemetry/%c/#
allow subscribe command/%c/#
allow subscribe group/%g/#
allow p2p       chat/p2p/GID@@@friend
END

$t->write_conf(
    workers => 2,
    gateway => "auth signature %%TESTDIR%%/keys; auth device_credential;\n"
               . 'auth token %%TESTDIR%%/token;'
               . ' acl %%TESTDIR%%/rules;');
$t->run;

$t->redis->command('HSET', 'test:{d:DK}', s => 'devsecret', i => 'ins',
                   c => 'GID@@@evil');

my ($evil, $victim) = ('GID@@@evil', 'GID@@@victim');
my @mine = device($evil, 'DK', 'devsecret', 'ins');

my $watcher = $t->client(signature('GID@@@watcher', 'WATCH', 'watchsecret',
                                   'ins'));
my $target = $t->client(signature($victim, 'FLEET', 'fleetsecret', 'ins'));

$watcher->subscribe('#' => 0, '$SYS/#' => 0, '$x/#' => 0);
is_deeply($target->subscribe("command/$victim/#" => 1)->{codes}, [ 1 ],
          'the victim listens');

###############################################################################
# to be another one

my %mine = @mine;

for my $case (
    [ 'the id of the victim with its own signature', client_id => $victim ],
    [ 'the same signed anew', client_id => $victim,
      password => sign('devsecret', $victim) ],
    [ 'its own secret as an access key', client_id => $victim,
      username => 'Signature|DK|ins',
      password => sign('devsecret', $victim) ],
    [ 'the id of the access key as a secret', client_id => $victim,
      username => 'Signature|FLEET|ins', password => sign('FLEET', $victim) ],
    [ 'an empty secret', client_id => $victim,
      username => 'Signature|FLEET|ins', password => sign('', $victim) ],
    [ 'the key of a session', client_id => $victim,
      username => "DeviceCredential|x}{c:$victim|ins" ],
    [ 'a line end in the key',
      username => "DeviceCredential|DK\r\nGET x|ins" ],
    [ 'the secret as it is', client_id => $victim,
      username => 'Signature|FLEET|ins', password => 'fleetsecret' ],
    [ 'a token of its own making', client_id => $victim,
      username => 'Token|FLEET|ins',
      password => 'RW|' . jwt('devsecret', {
          jti => 'a' x 32, aud => 'test', ak => 'FLEET', ins => 'ins',
          act => 'RW', res => [ '#' ], exp => time + 1000 }) ],
    [ 'a token without a signature', client_id => $victim,
      username => 'Token|FLEET|ins',
      password => 'RW|' . jwt('', {
          jti => 'a' x 32, aud => 'test', ak => 'FLEET', ins => 'ins',
          act => 'RW', res => [ '#' ], exp => time + 1000 },
          alg => 'none', sign => sub { '' }) ],
    [ 'no credentials', client_id => $victim, username => undef,
      password => undef ],
) {
    my ($name, %args) = @$case;

    for my $version (3, 4, 5) {
        my $reason = reason($t, 'mqtt', %mine, %args, version => $version);

        isnt($reason, 0, "$version: $name: refused");
    }
}

# ids that differ in what somebody might overlook

for my $id ("$victim ", " $victim", lc $victim, "$victim\0", "$victim/",
            "GID\@\@\@evil\@\@\@victim") {
    isnt(reason($t, 'mqtt', %mine, client_id => $id), 0,
         "a client id of its own making: \"$id\"");
}

$target->expect_alive('the victim is still connected');

###############################################################################
# to read

my $c = $t->client(@mine);
my @filters = (
    '#', '+', '/#', '+/#', '+/+', '+/+/#', 'command/#', 'command/+',
    'command/+/#', "command/$victim", "command/$victim/#", "command/$victim/+",
    'command/GID@@@+/#', 'telemetry/#', "telemetry/$victim/#",
    'group/#', 'group/+/x', 'group/GID@@@evil/#', 'group', '+/GID/#',
    '+/p2p/#', "+/p2p/$victim", "chat/p2p/$victim", 'chat/p2p/#',
    "chat/+/$victim", 'chat/#', "+/+/$victim", '$SYS/#', '$SYS/uploadToken',
    '$x/#', '$x', 'command//#', "command/$evil\@\@\@/#", "/command/$evil/#",
    "Command/$evil/#", "command/%c/#", "telemetry/$evil/#",
);

for my $filter (@filters) {
    for my $prefix ('', '$share/g/', '$share/$share/', '$share//',
                    '$share/+/', '$Share/g/', '/$share/g/') {
        my $ack = $c->subscribe("$prefix$filter" => 2) // {};

        cmp_ok(($ack->{codes} // [ 0 ])->[0], '>=', 0x80,
               "subscribe to $prefix$filter");
    }
}

is_deeply($c->subscribe("command/$evil/#" => 1, 'group/GID/#' => 1,
                        "\$share/g/command/$evil/+" => 1)->{codes},
          [ 1, 1, 1 ], 'what is its own');

# many filters in one packet, allowed ones among them

is_deeply($c->subscribe(map { ("command/$evil/$_" => 0, "command/$_" => 0) }
                        1 .. 30)->{codes},
          [ map { (0, 0x87) } 1 .. 30 ], 'each filter for itself');

# retained messages are no way around

$watcher->publish_wait("command/$victim/secret", 'x', qos => 1, retain => 1);
ok($target->recv_message, 'the victim gets it');
$watcher->recv_message;
ok(!$c->recv(0.3), 'the attacker does not');

for my $filter ("command/$victim/secret", 'command/+/secret') {
    is_deeply($c->subscribe($filter => 0)->{codes}, [ 0x87 ],
              "retained, $filter");
}

ok(!$c->recv(0.3), 'nothing retained either');

###############################################################################
# to write

my @topics = (
    "command/$victim/x", "command/$evil/x", "telemetry/$victim/x",
    'telemetry', 'telemetry/', "telemetry/$victim", "/telemetry/$evil/x",
    "telemetry//$evil", "Telemetry/$evil/x", "telemetry/$evil /x",
    'telemetry/%c/x', 'telemetry/GID@@@ev/x', "telemetry/${evil}x/y",
    "chat/p2p/$victim", 'chat/p2p/', 'chat/p2p', 'chat/P2P/GID@@@friend',
    "chat/p2p/GID\@\@\@friend/$victim", "x/p2p/GID\@\@\@friend",
    "telemetry/p2p/$victim", "chat//p2p/GID\@\@\@friend", 'group/GID/x',
    '$x', '$x/y', '$SYS/broker', "\$share/g/telemetry/$evil/x",
    '$SYS/uploadToken', '$SYS/tokenInvalidNotice', '$SYS/tokenExpireNotice',
);

for my $topic (@topics) {
    for my $qos (1, 2) {
        my $ack = $c->publish_wait($topic, 'evil', qos => $qos,
                                   retain => $qos == 1) // {};

        is($ack->{reason}, 0x87, "QoS $qos to $topic");
    }

    $c->publish($topic, 'evil', qos => 0);
}

$c->expect_alive('with QoS 0 nothing happens');

# by aliases that were set with what was refused, and changed

my $id = 100;

for my $topic ("command/$victim/x", "telemetry/$evil/x",
               "telemetry/$victim/x") {
    my $allowed = $topic eq "telemetry/$evil/x";

    for my $name ($topic, '', '') {
        $c->publish($name, 'evil', qos => 1, packet_id => ++$id,
                    props => [ [ topic_alias => 1 ] ]);
        $c->expect(PUBACK => packet_id => $id,
                   reason => $allowed ? sub { $_[0] < 0x80 } : 0x87);
    }
}

# as a duplicate, and with an id that was refused

$c->publish("command/$victim/x", 'evil', qos => 2, packet_id => 7);
$c->expect(PUBREC => packet_id => 7, reason => 0x87);
$c->publish("command/$victim/x", 'evil', qos => 2, packet_id => 7, dup => 1);
$c->expect(PUBREC => packet_id => 7, reason => 0x87);
$c->send(PUBREL => packet_id => 7);
$c->expect(PUBCOMP => packet_id => 7);

# wills

for my $topic ("command/$victim/x", "telemetry/$victim/x",
               "chat/p2p/$victim", '$SYS/tokenInvalidNotice') {
    is(reason($t, 'mqtt', %mine, will => { topic => $topic, payload => 'x',
                                           qos => 1 }), 0x87,
       "a will to $topic");
}

$c->close;

###############################################################################
# topics that are none

for my $topic ('', '#', '+', "telemetry/$evil/#", "telemetry/$evil/+",
               "telemetry/$evil/\0", "telemetry/$evil/\xff",
               "telemetry/$evil/\xc0\xaf", "telemetry/$evil/\xed\xa0\x80") {
    for my $version (4, 5) {
        $c = $t->client(@mine, version => $version);
        $c->publish($topic, 'evil', qos => 0);
        $c->{timeout} = 3;

        my $packet = $c->recv;
        ok($c->closed || $packet && $packet->{type} eq 'DISCONNECT',
           "$version: invalid topic closes");
        $c->close;
    }
}

###############################################################################
# nobody has got anything that was not meant for him

my @got;

while (my $m = $watcher->recv(0.3)) {
    push @got, "$m->{topic}: $m->{payload}" if $m->{type} eq 'PUBLISH';
}

is_deeply([ grep { !/^telemetry\/\Q$evil\E\/x: evil$/ } @got ], [],
          'the watcher saw nothing but what is allowed');
is(scalar(@got), 3, 'which is three messages');

ok(!$target->recv(0.3), 'the victim got nothing');
$target->expect_alive('and is well');

is_deeply([ grep { /evil/ } $t->redis->keys('test:{r:*') ], [],
          'nothing was retained');

unlike($t->error_log, qr/fleetsecret|watchsecret|devsecret|eyJ/,
       'no secret in the log');
cmp_ok($t->total('publishes_denied'), '>=', 3 * @topics, 'counted');
cmp_ok($t->total('subscribes_denied'), '>=', 2 * @filters, 'counted');

done_testing();

###############################################################################
