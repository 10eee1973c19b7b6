#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# P2P is a verb of its own: what reaches a client without a subscription needs
# a rule that says so, or W in the credentials.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Auth qw/ signature /;
use Test::More tests => 11;

###############################################################################

my $t = MqttTest->new;
my $topic = $t->kafka->topic('chat');

$t->write_file('rules', <<'END');
allow publish,subscribe #
allow p2p     chat/p2p/%g@@@friend
allow p2p     chat/p2p/GID@@@victim
END

$t->write_file('keys', "ALL secret1 ins\nFEW secret2 ins RW:chat/p2p/+\n"
                       . "READ secret3 ins R:#\n");
$t->write_conf(kafka => 1, gateway => <<"END");
auth signature %%TESTDIR%%/keys;
        acl %%TESTDIR%%/rules;
        topic chat kafka=$topic;
END
$t->run;

my %client = map { $_ => $t->client(signature("GID\@\@\@$_", 'ALL', 'secret1',
                                              'ins')) }
             qw/ friend victim stranger sender /;
my $few = $t->client(signature('GID@@@few', 'FEW', 'secret2', 'ins'));
my $read = $t->client(signature('GID@@@read', 'READ', 'secret3', 'ins'));

$client{stranger}->subscribe('#' => 1, '+/p2p/#' => 1);

is(publish($client{sender}, 'friend'), 0, 'a rule for the group');
is(publish($client{sender}, 'stranger'), 0x87, 'no rule');
is(publish($few, 'victim'), 0, 'the credentials and a rule');
is(publish($few, 'stranger'), 0x87, 'the credentials alone');
is(publish($read, 'victim'), 0x87, 'a rule alone');

for my $name (qw/ friend victim /) {
    my $m = $client{$name}->recv_message || {};

    is($m->{topic}, "chat/p2p/GID\@\@\@$name", "$name gets it");
    ok(!$client{$name}->recv(0.2), 'once');
}

ok(!$client{stranger}->recv_message(0.3),
   'the stranger gets nothing, whatever it subscribes to');
$client{stranger}->expect_alive('and is well');

###############################################################################

sub publish {
    my ($c, $name) = @_;

    my $ack = $c->publish_wait("chat/p2p/GID\@\@\@$name", 'x', qos => 1) // {};

    return $ack->{reason};
}

###############################################################################
