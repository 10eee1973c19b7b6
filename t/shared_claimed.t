#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A QoS 2 message for a member of a shared subscription whose session somebody
# else has claimed the moment before: it is not saved for that member, and goes
# to another one.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 4;

###############################################################################

my $t = MqttTest->new;

$t->write_conf;
$t->run;

my $key = 'test:{c:member}';
my $publisher = $t->client(version => 5);
my $c = $t->client(version => 5, client_id => 'member', clean => 0,
                   props => [ [ session_expiry => 600 ] ]);

$c->subscribe('$share/g/a' => 2);
$t->redis->command('HINCRBY', $key, 'e', 1000000);

is($publisher->publish_wait('a', 'x', qos => 2)->{type}, 'PUBCOMP',
   'a message is taken for the group');
$c->expect_disconnect(0x8e, 'the member finds that it is none any more');

my $d = $t->client(version => 5);
$d->subscribe('$share/g/a' => 2);
is(($d->recv_message || {})->{payload}, 'x', 'the next one gets the message');
is($d->recv_message(0.2), undef, 'once');

$t->redis->command('DEL', $key);

###############################################################################
