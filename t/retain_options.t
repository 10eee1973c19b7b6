#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Retained messages of MQTT 5.0: Retain Handling and Retain As Published,
# 3.8.3.1, properties, subscription identifiers, expiry, 3.3.2.3.3.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use Test::More tests => 30;

use constant { RAP => 0x08, NO_LOCAL => 0x04, NEW => 0x10, NEVER => 0x20 };

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2);
$t->run;

my $c = $t->client(version => 5, client_id => 'publisher');
my $s = $t->client(version => 5);

$c->publish_wait('h/1', 'one', qos => 1, retain => 1);

# Retain Handling; "end" tells that nothing more comes

$c->publish_wait('end', 'end', qos => 1, retain => 1);

is(after(0), 'h/1', '0: a new subscription');
is(after(0), 'h/1', '0: an existing one, again');
is(after(NEW), '', '1: not to an existing one');

$s->unsubscribe('h/1');
is(after(NEW), 'h/1', '1: a new subscription');
is(after(NEVER), '', '2: an existing one');

$s->unsubscribe('h/1');
is(after(NEVER), '', '2: a new subscription');

# before 5.0 every SUBSCRIBE sends them

for my $version (3, 4) {
    my $old = $t->client(version => $version);

    for my $n (1, 2) {
        $old->subscribe('h/1' => 0);

        my $m = $old->recv_message;
        ok($m && $m->{topic} eq 'h/1' && $m->{retain},
           "version $version, SUBSCRIBE $n");
    }

    $old->disconnect;
}

# none to a shared subscription, 4.8.2

$s->subscribe('$share/group/h/+' => 0, 'end' => 0);
is($s->recv_message->{topic}, 'end', 'none to a shared subscription');
$s->unsubscribe('$share/group/h/+');

# Retain As Published is about live messages; retained ones carry it always

$s->subscribe('rap/1' => 1 | RAP, 'rap/2' => 1);
$c->publish_wait("rap/$_", 'live', qos => 1, retain => 1) for 1, 2;

my %retain = map { $_->{topic} => $_->{retain} }
             map { $s->recv_message } 1, 2;

is($retain{'rap/1'}, 1, 'Retain As Published keeps RETAIN');
is($retain{'rap/2'}, 0, 'RETAIN is cleared without it');

$s->subscribe('rap/1' => 1 | RAP, 'rap/2' => 1);
is($s->recv_message->{retain}, 1, "retained message $_") for 1, 2;

# No Local: not what this client has published, also after it came back

for my $options (0, NO_LOCAL) {
    my $p = $t->client(version => 5, client_id => 'publisher');

    $p->subscribe('h/+' => $options, 'end' => 0);
    is($p->recv_message->{topic}, $options ? 'end' : 'h/1',
       'the publisher subscribes with ' . ($options ? 'No Local' : 'nothing'));
    $p->disconnect;
}

$c = $t->client(version => 5, client_id => 'publisher');

# all properties travel, but not the topic alias; and the identifier of the
# subscription that asked, only

my @props = (
    [ payload_format => 1 ],
    [ content_type => 'text/plain' ],
    [ response_topic => 'answers/here' ],
    [ correlation_data => "\0\1\2" ],
    [ user_property => 'k', 'v1' ],
    [ user_property => 'k', 'v2' ],
);

$c->publish_wait('p/1', 'x', qos => 2, retain => 1,
                 props => [ [ topic_alias => 1 ], @props ]);

my $n = $t->client(version => 5);

for my $id (7, 268_435_455) {
    my $filter = $id == 7 ? 'p/+' : 'p/#';

    $n->send(SUBSCRIBE => packet_id => 5, filters => [ [ $filter => 2 ] ],
             props => [ [ subscription_id => $id ] ]);
    $n->expect('SUBACK', codes => [ 2 ]);

    my $m = $n->recv_message;

    is(prop($m, 'subscription_id'), $id, "identifier $id");
    is_deeply([ grep { $_->[0] ne 'subscription_id' } @{ $m->{props} } ],
              \@props, 'all properties in their order');
}

# message expiry is counted down; an expired message is not sent, and leaves
# Redis without anybody asking for it

$c->publish_wait('e/long', 'x', qos => 1, retain => 1,
                 props => [ [ message_expiry => 1000 ] ]);
$c->publish_wait("e/$_", 'x', qos => 1, retain => 1,
                 props => [ [ message_expiry => $_ ] ]) for 1, 2;
$c->publish_wait('gone/1', 'x', qos => 1, retain => 1,
                 props => [ [ message_expiry => 1 ] ]);

my $published = now();

$n->subscribe('e/long' => 1);

my $left = prop($n->recv_message, 'message_expiry');
ok($left <= 1000 && $left >= 1000 - (now() - $published) - 1,
   'the interval at first');

ok(wait_for { !$t->redis->keys('*{r:gone}*') },
   'an expired message leaves Redis');

$n->subscribe('e/+' => 1);

my %messages = map { $_->{topic} => $_ } messages($n);
my $elapsed = now() - $published;

$left = prop($messages{'e/long'}, 'message_expiry');
ok($left <= 999 && $left >= 1000 - $elapsed - 1, 'counted down');
ok(!$messages{'e/1'}, 'an expired message is not sent');

$n->unsubscribe('e/+');

# "for ever" in the place of one with an expiry

$c->publish_wait('e/2', 'kept', qos => 1, retain => 1);
is($t->redis->command('ZSCORE', 'test:{r:e}x', 'e/2'), undef,
   'no expiry any more');

# expired at once

$c->publish_wait('e/0', 'x', qos => 1, retain => 1,
                 props => [ [ message_expiry => 0 ] ]);
$n->subscribe('e/0' => 1);
is(join(' ', map { $_->{topic} } messages($n)), '', 'expiry 0');

# a 3.1.1 subscriber gets it without the property

my $old = $t->client(version => 4);

$old->subscribe('e/long' => 1);
is($old->recv_message->{topic}, 'e/long', '3.1.1: a message with expiry');

###############################################################################

# what "h/1" brings with these options

sub after {
    my ($options) = @_;

    $s->subscribe('h/1' => $options);

    return join ' ', map { $_->{topic} } messages($s);
}


# the messages until that of "end"

sub messages {
    my ($client) = @_;

    $client->unsubscribe('end');
    $client->subscribe('end' => 0);

    my @messages;

    while (my $m = $client->recv_message) {
        last if $m->{topic} eq 'end';
        push @messages, $m;
    }

    return @messages;
}

###############################################################################
