#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What CONNACK of 5.0 tells, and what a client's own limits do: session
# expiry, Receive Maximum, Maximum Packet Size, Topic Alias Maximum, keep-alive
# and the client id that the server assigns.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use Test::More tests => 23;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_limits%%;
        mqtt_pass test;

        mqtt_max_session_expiry 1h;
        mqtt_receive_maximum 7;
        mqtt_max_packet_size 2k;
        mqtt_topic_alias_maximum 3;
        mqtt_max_keepalive 20s;
    }

    server {
        listen 127.0.0.1:%%PORT_least%%;
        mqtt_pass test;

        mqtt_max_session_expiry 0;
        mqtt_topic_alias_maximum 0;
    }
END

$t->run;

# the defaults

my @defaults = ([ receive_maximum => 20 ], [ maximum_packet_size => 1048576 ],
                [ topic_alias_maximum => 10 ]);

is_deeply(connack(), [ sort_props(@defaults) ], 'defaults');

is_deeply(connack(keep_alive => 0), [ sort_props(@defaults) ],
          'keep-alive 0 is not changed');

is_deeply(connack(props => [ [ session_expiry => 2592000 ] ]),
          [ sort_props(@defaults) ], 'a session of 30 days');

is_deeply(connack(props => [ [ session_expiry => 2592001 ] ]),
          [ sort_props(@defaults, [ session_expiry => 2592000 ]) ],
          'a longer one is capped');

is_deeply(connack(props => [ [ session_expiry => 0xffffffff ] ]),
          [ sort_props(@defaults, [ session_expiry => 2592000 ]) ],
          'so is one that never expires');

is_deeply(connack(props => [ [ request_response_info => 1 ],
                             [ request_problem_info => 0 ],
                             [ receive_maximum => 1 ],
                             [ topic_alias_maximum => 5 ],
                             [ user_property => 'a', 'b' ],
                             [ user_property => 'a', 'b' ] ]),
          [ sort_props(@defaults) ], 'all other properties are taken');

# as configured

my @limits = ([ receive_maximum => 7 ], [ maximum_packet_size => 2048 ],
              [ topic_alias_maximum => 3 ]);

is_deeply(connack(port => 'limits', keep_alive => 20,
                  props => [ [ session_expiry => 3600 ] ]),
          [ sort_props(@limits) ], 'what is within the limits is not told');

is_deeply(connack(port => 'limits', keep_alive => 21,
                  props => [ [ session_expiry => 3601 ] ]),
          [ sort_props(@limits, [ server_keep_alive => 20 ],
                       [ session_expiry => 3600 ]) ], 'what is over them is');

is_deeply(connack(port => 'limits', keep_alive => 0),
          [ sort_props(@limits, [ server_keep_alive => 20 ]) ],
          'keep-alive 0 is capped as well');

is_deeply(connack(port => 'least', props => [ [ session_expiry => 60 ] ]),
          [ sort_props(@defaults[0, 1], [ session_expiry => 0 ]) ],
          'no aliases, no sessions');

# sessions as the limits have made them

for my $case ([ 'mqtt', 0, 0 ], [ 'mqtt', 60, 1 ], [ 'least', 60, 0 ]) {
    my ($port, $expiry, $present) = @$case;

    my @args = (port => $port, client_id => 'sessions', clean => 0,
                props => [ [ session_expiry => $expiry ] ]);

    $t->client(@args, clean => 1)->disconnect;
    wait_gone();

    my $c = $t->client(@args);
    is($c->connack->{session_present}, $present,
       "expiry $expiry on \"$port\": session present $present");
    $c->disconnect;
    wait_gone();
}

# 3.1 has no flag for it, 3.1.1 has: the session exists

my $c = $t->client(version => 4, client_id => 'old', clean => 0);
$c->disconnect;
wait_gone();

$c = $t->client(version => 3, client_id => 'old', clean => 0);
is($c->connack->{session_present}, 0, '3.1: nothing about the session');
$c->disconnect;
wait_gone();

$c = $t->client(version => 4, client_id => 'old', clean => 0);
is($c->connack->{session_present}, 1, '3.1.1: the session is present');
$c->disconnect;
wait_gone();

$c = $t->client(version => 4, client_id => 'old');
is($c->connack->{session_present}, 0, '3.1.1: not with a clean session');
$c->disconnect;
wait_gone();

# assigned client ids

my %ids;

for my $clean (0, 1) {
    my $client = $t->client(client_id => '', clean => $clean,
                            props => [ [ session_expiry => 60 ] ]);
    my $id = prop($client->connack, 'assigned_client_id');

    like($id, qr/^auto-[0-9a-f]{32}$/, "client id assigned, clean $clean");
    $ids{$id} = $client;
}

is(keys %ids, 2, 'they are different');

my ($id) = keys %ids;
delete($ids{$id})->disconnect;
wait_gone(1);

$c = $t->client(client_id => $id, clean => 0);
is($c->connack->{session_present}, 1, 'the session is found under the id');
is(prop($c->connack, 'assigned_client_id'), undef, 'which is told once');

# limits of the client: a packet it has not room for is not sent

my $small = $t->socket;
is($small->connect(props => [ [ maximum_packet_size => 40 ] ])->{reason}, 0,
   'a client with a small Maximum Packet Size');
$small->expect_alive('is served');

$_->disconnect for $small, $c, values %ids;

###############################################################################

sub connack {
    my (%args) = @_;

    my $client = $t->client(%args);
    my @props = @{ $client->connack->{props} };

    $client->disconnect;

    return [ sort_props(@props) ];
}


sub sort_props {
    return sort { $a->[0] cmp $b->[0] } @_;
}


# DISCONNECT has been read: nothing is taken over by the next CONNECT

sub wait_gone {
    my ($left) = @_;

    wait_for { $t->total('clients') == ($left // 0) }
        or diag('clients are left');
}

###############################################################################
